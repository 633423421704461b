//! Configs of type DOUBLE, without floating point: the library's parser and its tables of powers are 12 KB to download.

pub(crate) const ONE: i64 = 1_000_000_000;
const PLACES: i64 = 9;
const INFINITY: i64 = i64::MAX;

/// The number that `text` says, in billionths, as Java's `Double.parseDouble` reads it but for hexadecimal digits. What
/// is finer counts as one more, away from zero; what is too great as the greatest there is; what is no number as zero.
pub(crate) fn billionths(text: &str) -> Option<i64> {
    let (negative, magnitude) = match text.as_bytes() {
        [b'-', magnitude @ ..] => (true, magnitude),
        [b'+', magnitude @ ..] | magnitude => (false, magnitude),
    };
    let magnitude = match magnitude {
        b"NaN" => 0,
        b"Infinity" => INFINITY,
        [decimal @ .., b'd' | b'D' | b'f' | b'F'] | decimal => unsigned(decimal)?,
    };
    Some(if negative { -magnitude } else { magnitude })
}

fn unsigned(decimal: &[u8]) -> Option<i64> {
    let (mantissa, exponent) = match decimal.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(at) => (&decimal[..at], exponent(&decimal[at + 1..])?),
        None => (decimal, 0),
    };
    let whole = mantissa.iter().position(|&byte| byte == b'.').unwrap_or(mantissa.len());
    let digits = [&mantissa[..whole], mantissa.get(whole + 1..).unwrap_or_default()].concat();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // So many digits make up the billionths; zeros follow where the text has no more. After that many zeros
    // anything but zero is too great.
    let count =
        (whole as i64).saturating_add(exponent).saturating_add(PLACES).clamp(0, digits.len() as i64 + 20) as usize;
    let kept = digits.iter().map(|digit| i64::from(digit - b'0')).chain(std::iter::repeat(0)).take(count);
    let value = kept.fold(0_i64, |value, digit| value.saturating_mul(10).saturating_add(digit));
    let is_finer = digits.iter().skip(count).any(|&digit| digit != b'0');
    Some(value.saturating_add(i64::from(is_finer)))
}

fn exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value =
        digits.iter().fold(0_i64, |value, digit| value.saturating_mul(10).saturating_add(i64::from(digit - b'0')));
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_read_as_java_reads_them() {
        for (text, expected) in [
            ("0", Some(0)),
            ("0.5", Some(500_000_000)),
            (".5", Some(500_000_000)),
            ("1.", Some(1_000_000_000)),
            ("+1", Some(1_000_000_000)),
            ("-0.25", Some(-250_000_000)),
            ("1.5e2", Some(150_000_000_000)),
            ("25E-2", Some(250_000_000)),
            ("1e+1d", Some(10_000_000_000)),
            ("0.1f", Some(100_000_000)),
            ("1.0000000000001", Some(1_000_000_001)),
            ("-1e-99999999999999999999", Some(-1)),
            ("0e99999999999999999999", Some(0)),
            ("1e99999999999999999999", Some(i64::MAX)),
            ("1.7976931348623157E308", Some(i64::MAX)),
            ("-12345678901234567890", Some(-i64::MAX)),
            ("Infinity", Some(i64::MAX)),
            ("NaN", Some(0)),
            ("", None),
            (".", None),
            ("-", None),
            ("d", None),
            ("e5", None),
            ("1e", None),
            ("1e+", None),
            ("1.2.3", None),
            ("1,5", None),
            ("--1", None),
            ("1dd", None),
            ("inf", None),
            ("half", None),
        ] {
            assert_eq!(billionths(text), expected, "{text}");
        }
    }
}
