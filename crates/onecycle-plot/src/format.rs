//! Formats numbers for people.

use std::borrow::Cow;

/// Four significant digits; `nan` and `inf` as words.
pub fn significant(value: f64) -> String {
    if !value.is_finite() || value == 0.0 {
        return value.to_string().to_lowercase();
    }
    // The exponent of the rounded number counts, so that 9.99996 is shown like 10.
    let scientific = format!("{value:.3e}");
    let exponent = scientific
        .split('e')
        .nth(1)
        .and_then(|e| e.parse::<i32>().ok())
        .unwrap_or(0);
    if !(-4..6).contains(&exponent) {
        return scientific;
    }
    let decimals = (3 - exponent).max(0) as usize;
    let text = format!("{value:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// A fraction as a percentage with two decimals.
pub fn percent(fraction: f64) -> String {
    if fraction.is_finite() {
        format!("{:.2} %", 100.0 * fraction)
    } else {
        significant(fraction)
    }
}

/// Seconds as `8.1 s`, `5m03s` or `1h02m`.
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() {
        return significant(seconds);
    }
    if seconds < 59.95 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, minutes, seconds) => format!("{minutes}m{seconds:02}s"),
        (hours, minutes, _) => format!("{hours}h{minutes:02}m"),
    }
}

/// A field of a CSV file (RFC 4180): quoted if it contains a separator, a quote or a line break.
pub fn csv_field(field: &str) -> Cow<'_, str> {
    if field.contains([',', '"', '\n', '\r']) {
        Cow::Owned(format!("\"{}\"", field.replace('"', "\"\"")))
    } else {
        Cow::Borrowed(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_four_significant_digits() {
        let cases = [
            (0.8, "0.8"),
            (0.08333333, "0.08333"),
            (9.99996, "10"),
            (1234.5678, "1235"),
            (123_456.7, "123457"),
            (0.0008, "0.0008"),
            (8e-6, "8.000e-6"),
            (-0.012_346, "-0.01235"),
            (f64::NAN, "nan"),
            (f64::INFINITY, "inf"),
            (0.0, "0"),
        ];
        for (value, text) in cases {
            assert_eq!(significant(value), text);
        }
    }

    #[test]
    fn percents_and_durations() {
        assert_eq!(percent(0.92431), "92.43 %");
        assert_eq!(percent(f64::NAN), "nan");
        let cases = [
            (8.06, "8.1 s"),
            (59.96, "1m00s"),
            (303.0, "5m03s"),
            (3725.0, "1h02m"),
            (f64::NAN, "nan"),
        ];
        for (seconds, text) in cases {
            assert_eq!(duration(seconds), text);
        }
    }
}
