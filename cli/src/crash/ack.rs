//! What the child prints.

use std::fmt;

/// One line of the child's output.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Ack {
    /// The database is open; the writers begin.
    Open {
        /// How long opening took.
        micros: u64,
    },
    /// Every operation of a writer up to and with this one is durable.
    Done {
        /// The writer, from 0.
        writer: u32,
        /// The operation, from 0.
        index: u64,
    },
}

impl fmt::Display for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ack::Open { micros } => write!(f, "OPEN {micros}"),
            Ack::Done { writer, index } => write!(f, "ACK {writer} {index}"),
        }
    }
}

/// The acknowledgements in an output that ends where its writer was killed. A last line without
/// line end counts for nothing; any other line that is no acknowledgement is returned as the error.
pub fn parse_acks(output: &str) -> Result<Vec<Ack>, String> {
    let whole = output.rfind('\n').map_or("", |end| &output[..end]);
    whole.lines().map(|line| parse(line).ok_or_else(|| line.to_owned())).collect()
}

fn parse(line: &str) -> Option<Ack> {
    let mut words = line.split(' ');
    let ack = match words.next()? {
        "OPEN" => Ack::Open { micros: words.next()?.parse().ok()? },
        "ACK" => {
            Ack::Done { writer: words.next()?.parse().ok()?, index: words.next()?.parse().ok()? }
        }
        _ => return None,
    };
    words.next().is_none().then_some(ack)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read() {
        let acks = [Ack::Open { micros: 17 }, Ack::Done { writer: 3, index: 99 }];
        let text = acks.map(|ack| format!("{ack}\n")).concat();
        assert_eq!(parse_acks(&text).unwrap(), acks);
        assert_eq!(parse_acks(&text[..text.len() - 1]).unwrap(), acks[..1]);
        assert_eq!(parse_acks("ACK 1").unwrap(), []);
        assert_eq!(parse_acks("ACK 1\n"), Err("ACK 1".to_owned()));
        assert_eq!(parse_acks("panic\n"), Err("panic".to_owned()));
    }
}
