//! Bytes as text on one line, and back, without losing any.
//!
//! What is valid UTF-8 and not a control character stands for itself. A backslash is `\\`, the
//! usual ones are `\t`, `\n`, `\r`, and every other byte is `\x` with two hexadecimal digits.

use std::fmt::Write;

/// Writes `bytes` as text without tabs, line ends or other control characters.
#[must_use]
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            escape_character(&mut text, character);
        }
        for byte in chunk.invalid() {
            escape_byte(&mut text, *byte);
        }
    }
    text
}

fn escape_character(text: &mut String, character: char) {
    match character {
        '\\' => text.push_str("\\\\"),
        '\t' => text.push_str("\\t"),
        '\n' => text.push_str("\\n"),
        '\r' => text.push_str("\\r"),
        control if control.is_control() => {
            let mut buffer = [0; 4];
            for byte in control.encode_utf8(&mut buffer).as_bytes() {
                escape_byte(text, *byte);
            }
        }
        plain => text.push(plain),
    }
}

fn escape_byte(text: &mut String, byte: u8) {
    // Writing to a String cannot fail.
    let _infallible = write!(text, "\\x{byte:02x}");
}

/// The bytes that [`escape`] was given. Bytes that it would have escaped are taken as they are, so
/// text that was written by hand need only escape backslashes.
///
/// Fails, with the reason in words, on a backslash that begins none of the known sequences.
pub fn unescape(text: &[u8]) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        if first != b'\\' {
            bytes.push(first);
            rest = after;
            continue;
        }
        let (byte, length) = match after {
            [b'\\', ..] => (b'\\', 1),
            [b't', ..] => (b'\t', 1),
            [b'n', ..] => (b'\n', 1),
            [b'r', ..] => (b'\r', 1),
            [b'x', high, low, ..] => match (hex_digit(*high), hex_digit(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, 3),
                _ => return Err("\\x is not followed by two hexadecimal digits".to_owned()),
            },
            [b'x', ..] => return Err("\\x is not followed by two hexadecimal digits".to_owned()),
            [other, ..] => {
                return Err(format!("\\{} is not an escape", other.escape_ascii()));
            }
            [] => return Err("a backslash stands at the end".to_owned()),
        };
        bytes.push(byte);
        rest = &after[length..];
    }
    Ok(bytes)
}

/// `bytes` as hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().saturating_mul(2));
    for byte in bytes {
        let _infallible = write!(text, "{byte:02x}");
    }
    text
}

/// The bytes that [`hex`] was given, or the reason in words.
pub fn unhex(text: &[u8]) -> Result<Vec<u8>, String> {
    if !text.len().is_multiple_of(2) {
        return Err("an odd number of hexadecimal digits".to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len() / 2);
    for pair in text.chunks_exact(2) {
        match (hex_digit(pair[0]), hex_digit(pair[1])) {
            (Some(high), Some(low)) => bytes.push(high << 4 | low),
            _ => return Err(format!("{} are not hexadecimal digits", pair.escape_ascii())),
        }
    }
    Ok(bytes)
}

fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_it_looks_like() {
        assert_eq!(escape("Äda\t\\x\n\u{1b}".as_bytes()), "Äda\\t\\\\x\\n\\x1b");
        assert_eq!(escape(b"\xff\x00a"), "\\xff\\x00a");
        assert_eq!(escape("\u{85}".as_bytes()), "\\xc2\\x85");
    }

    #[test]
    fn unknown_escapes_are_refused() {
        for text in ["\\", "\\q", "\\x", "\\x1", "\\xg0", "\\x0g"] {
            assert!(unescape(text.as_bytes()).is_err(), "{text}");
        }
        assert_eq!(unescape(b"\\x4A\\x4a").unwrap(), b"JJ");
    }

    proptest! {
        #[test]
        fn every_byte_comes_back(bytes: Vec<u8>) {
            let text = escape(&bytes);
            prop_assert!(!text.chars().any(char::is_control));
            prop_assert_eq!(unescape(text.as_bytes()).unwrap(), bytes.clone());
            prop_assert_eq!(unhex(hex(&bytes).as_bytes()).unwrap(), bytes);
        }

        #[test]
        fn any_text_is_decoded_or_refused(bytes: Vec<u8>) {
            if let Ok(decoded) = unescape(&bytes) {
                prop_assert!(decoded.len() <= bytes.len());
            }
            if let Ok(decoded) = unhex(&bytes) {
                prop_assert_eq!(decoded.len() * 2, bytes.len());
            }
        }
    }
}
