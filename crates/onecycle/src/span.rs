use alloc::{
    format,
    string::{String, ToString},
};
use core::{fmt, str::FromStr};

/// A text that is not a [`Span`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a span: expected steps (`500` or `500st`), epochs (`13ep`), samples (`50000sa`) or a fraction of the run (`10%` or `0.1`)"
)]
pub struct ParseSpanError {
    /// The text.
    pub text: String,
}

/// A length within a run, or a point counted from its start, in a unit of the user's choice.
///
/// Text form, also used in configuration files:
///
/// | span | text | number |
/// |---|---|---|
/// | steps (updates of the optimizer) | `500st` or `500` | a whole number |
/// | epochs (passes over the training set) | `13ep`, `0.5ep` | |
/// | samples | `50000sa` | |
/// | fraction of the run | `10%` or `0.1` (with a decimal point) | a number with a decimal point, 0.0 to 1.0 |
///
/// ```
/// use onecycle::Span;
/// assert_eq!("13ep".parse(), Ok(Span::Epochs(13.0)));
/// assert_eq!("500".parse(), Ok(Span::Steps(500)));
/// assert_eq!("10%".parse(), Ok(Span::Fraction(0.1)));
/// assert_eq!(Span::Samples(50_000).to_string(), "50000sa");
/// assert!("thirteen".parse::<Span>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Span {
    /// Updates of the optimizer.
    Steps(u64),
    /// Passes over the training set, possibly fractional.
    Epochs(f64),
    /// Samples seen.
    Samples(u64),
    /// A fraction of the whole run, from 0 to 1.
    Fraction(f64),
}

impl Span {
    /// Whether the span is empty.
    pub fn is_zero(self) -> bool {
        match self {
            Span::Steps(n) | Span::Samples(n) => n == 0,
            Span::Epochs(x) | Span::Fraction(x) => x == 0.0,
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Span::Steps(n) => write!(f, "{n}st"),
            Span::Epochs(x) => write!(f, "{x}ep"),
            Span::Samples(n) => write!(f, "{n}sa"),
            Span::Fraction(x) => {
                // 0.07 * 100 is not 7. If the percentage does not read back exactly, write the
                // fraction.
                let percent = format!("{}%", x * 100.0);
                if percent.parse() == Ok(*self) {
                    f.write_str(&percent)
                } else {
                    write!(f, "{x:?}")
                }
            }
        }
    }
}

impl FromStr for Span {
    type Err = ParseSpanError;

    fn from_str(text: &str) -> Result<Self, ParseSpanError> {
        let invalid = || ParseSpanError {
            text: text.to_string(),
        };
        let text = text.trim();
        let real = |digits: &str| digits.trim_end().parse::<f64>().map_err(|_| invalid());
        let whole = |digits: &str| digits.trim_end().parse::<u64>().map_err(|_| invalid());
        let span = if let Some(digits) = text.strip_suffix("ep") {
            Span::Epochs(real(digits)?)
        } else if let Some(digits) = text.strip_suffix("st") {
            Span::Steps(whole(digits)?)
        } else if let Some(digits) = text.strip_suffix("sa") {
            Span::Samples(whole(digits)?)
        } else if let Some(digits) = text.strip_suffix('%') {
            Span::Fraction(real(digits)? / 100.0)
        } else if let Ok(steps) = text.parse() {
            Span::Steps(steps)
        } else {
            Span::Fraction(real(text)?)
        };
        let in_range = match span {
            Span::Steps(_) | Span::Samples(_) => true,
            Span::Epochs(epochs) => (0.0..=1e300).contains(&epochs),
            Span::Fraction(fraction) => (0.0..=1.0).contains(&fraction),
        };
        in_range.then_some(span).ok_or_else(invalid)
    }
}

mod form {
    use super::Span;
    use core::fmt;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    impl Serialize for Span {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            match self {
                // A number reads back to the same bits.
                Span::Fraction(x) => serializer.serialize_f64(*x),
                other => serializer.collect_str(other),
            }
        }
    }

    impl<'de> Deserialize<'de> for Span {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Visitor;

            impl de::Visitor<'_> for Visitor {
                type Value = Span;

                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str(
                        "a span: steps (500 or \"500st\"), epochs (\"13ep\"), samples (\"50000sa\") \
                         or a fraction of the run (0.1 or \"10%\")",
                    )
                }

                fn visit_u64<E: de::Error>(self, steps: u64) -> Result<Span, E> {
                    Ok(Span::Steps(steps))
                }

                fn visit_i64<E: de::Error>(self, steps: i64) -> Result<Span, E> {
                    u64::try_from(steps)
                        .map(Span::Steps)
                        .map_err(|_| E::invalid_value(de::Unexpected::Signed(steps), &self))
                }

                fn visit_f64<E: de::Error>(self, fraction: f64) -> Result<Span, E> {
                    if (0.0..=1.0).contains(&fraction) {
                        Ok(Span::Fraction(fraction))
                    } else {
                        Err(E::invalid_value(de::Unexpected::Float(fraction), &self))
                    }
                }

                fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
                    text.parse().map_err(E::custom)
                }
            }

            deserializer.deserialize_any(Visitor)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Span;
    use alloc::string::ToString;

    #[test]
    fn text_reads_back_to_the_same_bits() {
        let fractions = (0..=1000).map(|i| Span::Fraction(f64::from(i) / 1000.0));
        let others = [
            Span::Steps(0),
            Span::Steps(u64::MAX),
            Span::Epochs(22.5),
            Span::Epochs(0.1),
            Span::Samples(1),
        ];
        for span in fractions.chain(others) {
            assert_eq!(span.to_string().parse(), Ok(span), "{span}");
        }
    }

    #[test]
    fn what_is_no_span_is_refused() {
        for text in [
            "",
            "ep",
            "-1",
            "-3ep",
            "1.5st",
            "110%",
            "2.0",
            "nan",
            "infep",
            "13 epochs",
        ] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }
}
