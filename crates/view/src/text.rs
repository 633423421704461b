//! Text for a screen. What users put into records is shown as text and never as anything else:
//! control and bidirectional characters are written out, and length is capped.

/// Bytes as a person reads them: UTF-8 where it is, with what cannot be seen written as escapes.
pub fn shown(bytes: &[u8], cap: usize) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            if text.len() >= cap {
                text.push('…');
                return text;
            }
            if is_invisible(letter) {
                text.extend(letter.escape_unicode());
            } else {
                text.push(letter);
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// Control characters, those that turn the direction of text around, and those that take no room.
fn is_invisible(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// `1234567` as `1,234,567`.
pub fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if number < 0 {
        text.push('\u{2212}');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A size with three digits at most: `942 B`, `1.2 kB`, `34 MB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut unit = 0;
    let mut tenths = bytes.saturating_mul(10);
    while tenths >= 10_000 && unit + 1 < UNITS.len() {
        tenths = (tenths + 500) / 1_000;
        unit += 1;
    }
    if unit == 0 || tenths >= 100 {
        format!("{} {}", tenths / 10, UNITS[unit])
    } else {
        format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
    }
}

/// A short time: `0.4 ms`, `12 ms`, `1.5 s`.
pub fn duration(micros: u64) -> String {
    match micros {
        0..10_000 => format!("{}.{} ms", micros / 1_000, micros % 1_000 / 100),
        10_000..1_000_000 => format!("{} ms", micros / 1_000),
        _ => format!("{}.{} s", micros / 1_000_000, micros % 1_000_000 / 100_000),
    }
}

/// Virtual time since the cluster began: `00:12.345`, with hours once there are any.
pub fn clock(micros: u64) -> String {
    let (millis, seconds, minutes) = (micros / 1_000 % 1_000, micros / 1_000_000 % 60, micros / 60_000_000);
    match minutes / 60 {
        0 => format!("{minutes:02}:{seconds:02}.{millis:03}"),
        hours => format!("{hours}:{:02}:{seconds:02}.{millis:03}", minutes % 60),
    }
}

/// Records per second from thousandths.
pub fn rate(milli: u32) -> String {
    if milli.is_multiple_of(1_000) {
        grouped(i64::from(milli / 1_000))
    } else {
        format!("{}.{}", milli / 1_000, milli % 1_000 / 100)
    }
}

/// A UTC date and time with milliseconds, from milliseconds since 1970.
pub fn timestamp(millis: i64) -> String {
    let days = millis.div_euclid(86_400_000);
    let of_day = millis.rem_euclid(86_400_000);
    let (year, month, day) = civil(days);
    let (hours, minutes, seconds) = (of_day / 3_600_000, of_day / 60_000 % 60, of_day / 1_000 % 60);
    format!("{year:04}-{month:02}-{day:02} {hours:02}:{minutes:02}:{seconds:02}.{:03} UTC", of_day % 1_000)
}

/// The Gregorian date so many days after 1970-01-01 (eras of 400 years, years that begin in March).
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_written_out() {
        assert_eq!(shown("Zürich 東京".as_bytes(), 99), "Zürich 東京");
        assert_eq!(shown("a\u{202e}b\nc\0".as_bytes(), 99), "a\\u{202e}b\\u{a}c\\u{0}");
        assert_eq!(shown(&[b'a', 0xff, b'b'], 99), "a\\xffb");
        assert_eq!(shown(b"<script>", 99), "<script>", "markup is text like any other");
        assert_eq!(shown(b"abcdef", 3), "abc…");
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!([grouped(0), grouped(999), grouped(-1_234_567)], ["0", "999", "\u{2212}1,234,567"]);
        assert_eq!([size(0), size(999), size(1_240), size(34_000_000)], ["0 B", "999 B", "1.2 kB", "34 MB"]);
        assert_eq!([duration(420), duration(12_300), duration(1_560_000)], ["0.4 ms", "12 ms", "1.5 s"]);
        assert_eq!([clock(12_345_678), clock(3_600_000_000)], ["00:12.345", "1:00:00.000"]);
        assert_eq!([rate(2_000), rate(500)], ["2", "0.5"]);
    }

    #[test]
    fn dates_are_gregorian() {
        assert_eq!(timestamp(0), "1970-01-01 00:00:00.000 UTC");
        assert_eq!(timestamp(1_709_210_096_007), "2024-02-29 12:34:56.007 UTC");
        assert_eq!(timestamp(-1), "1969-12-31 23:59:59.999 UTC");
    }
}
