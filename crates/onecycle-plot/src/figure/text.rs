//! Text in figures: escaping, widths, numbers.

/// Escapes text for XML and HTML, both for element content and quoted attributes. Replaces control
/// characters that XML does not allow by U+FFFD.
#[must_use]
pub fn escape_xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\t' | '\n' | '\r' => out.push(c),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Approximate width of `text` at a font size. It is an upper bound for common sans-serif fonts,
/// the widest of which is DejaVu Sans.
pub(super) fn width(text: &str, size: f64) -> f64 {
    let em = |c: char| match c {
        'i' | 'j' | 'l' | 'I' | '.' | ',' | ':' | ';' | '|' | ' ' | '\'' => 0.32,
        'f' | 't' | 'r' | '(' | ')' | '-' | '/' => 0.40,
        '⁰' | '¹' | '²' | '³' | '⁴' | '⁵' | '⁶' | '⁷' | '⁸' | '⁹' | '⁻' => 0.42,
        'm' | 'M' | 'w' | 'W' | '@' | '%' => 0.96,
        '×' | '−' | '→' => 0.84,
        c if c.is_ascii_uppercase() => 0.72,
        c if c.is_ascii() => 0.62,
        _ => 0.9,
    };
    text.chars().map(em).sum::<f64>() * size
}

/// Cuts `text` to a width at a font size; an ellipsis marks a cut.
pub(super) fn fit(text: &str, size: f64, room: f64) -> String {
    if width(text, size) <= room {
        return text.to_owned();
    }
    let mut out = String::new();
    for c in text.chars() {
        out.push(c);
        if width(&out, size) + 0.9 * size > room {
            out.pop();
            break;
        }
    }
    format!("{}…", out.trim_end())
}

/// Breaks `text` between words into lines of a width at a font size. Cuts words that are longer.
pub(super) fn wrap(text: &str, size: f64, room: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let word = fit(word, size, room);
        match lines.last_mut() {
            Some(line) if width(line, size) + width(&word, size) + 0.32 * size <= room => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    lines
}

/// A coordinate with at most two decimals, which keeps files small and makes equal input give equal
/// bytes.
pub(super) fn coordinate(value: f64) -> String {
    let rounded = (value * 100.0).round() / 100.0;
    // Adding zero turns -0 into 0.
    format!("{}", rounded + 0.0)
}

/// Labels for the values of a linear axis with a distance of `step`, all in the same form.
pub(super) fn linear_labels(values: &[f64], step: f64) -> Vec<String> {
    let largest = values.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
    if largest == 0.0 {
        return values.iter().map(|_| "0".to_owned()).collect();
    }
    // More than twelve decimals would show rounding errors of the values.
    let decimals = |step: f64| {
        (0..12)
            .find(|&d| is_whole(step * 10_f64.powi(d)))
            .unwrap_or(12)
    };
    if (1e-3..1e6).contains(&largest) {
        let decimals = decimals(step) as usize;
        values
            .iter()
            .map(|v| minus(format!("{v:.decimals$}")))
            .collect()
    } else {
        let exponent = largest.log10().floor() as i32;
        let unit = 10_f64.powi(exponent);
        let decimals = decimals(step / unit) as usize;
        let label = |v: &f64| match *v {
            v if v.abs() < step * 1e-6 => "0".to_owned(),
            v => minus(format!(
                "{:.decimals$}×{}",
                v / unit,
                power_of_ten(exponent)
            )),
        };
        values.iter().map(label).collect()
    }
}

/// `10` to a whole power, such as `10⁻³`.
pub(super) fn power_of_ten(exponent: i32) -> String {
    const DIGITS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let digits = exponent.to_string();
    let raised = digits.chars().map(|c| match c.to_digit(10) {
        Some(digit) => DIGITS[digit as usize],
        None => '⁻',
    });
    "10".chars().chain(raised).collect()
}

fn is_whole(value: f64) -> bool {
    (value - value.round()).abs() < 1e-6 * value.abs().max(1.0) && value.round() != 0.0
}

/// The typographic minus sign, and no sign before a rounded zero.
fn minus(text: String) -> String {
    match text.strip_prefix('-') {
        Some(rest) if rest.chars().all(|c| c == '0' || c == '.') => rest.to_owned(),
        Some(rest) => format!("−{rest}"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_all_characters_of_markup() {
        assert_eq!(
            escape_xml("<a href=\"x\">&'\u{0}"),
            "&lt;a href=&quot;x&quot;&gt;&amp;&#39;\u{fffd}"
        );
    }

    #[test]
    fn labels_share_their_form() {
        assert_eq!(
            linear_labels(&[0.0, 0.25, 0.5], 0.25),
            ["0.00", "0.25", "0.50"]
        );
        assert_eq!(
            linear_labels(&[0.0, 200.0, 400.0], 200.0),
            ["0", "200", "400"]
        );
        assert_eq!(linear_labels(&[-1.0, 0.0, 1.0], 1.0), ["−1", "0", "1"]);
        assert_eq!(
            linear_labels(&[0.0, 5e-5, 1e-4], 5e-5),
            ["0", "0.5×10⁻⁴", "1.0×10⁻⁴"]
        );
        assert_eq!(linear_labels(&[0.0, 2e6], 2e6), ["0", "2×10⁶"]);
        assert_eq!(linear_labels(&[-1e-17, 0.1], 0.1), ["0.0", "0.1"]);
    }

    #[test]
    fn cuts_only_text_that_is_too_long() {
        assert_eq!(fit("short", 10.0, 100.0), "short");
        let cut = fit("a very long name of a series", 10.0, 60.0);
        assert!(cut.ends_with('…') && width(&cut, 10.0) <= 60.0, "{cut}");
        let lines = wrap("one two three four five six", 10.0, 70.0);
        assert!(
            lines.len() > 1 && lines.iter().all(|line| width(line, 10.0) <= 70.0),
            "{lines:?}"
        );
        assert_eq!(lines.join(" "), "one two three four five six");
    }
}
