//! The text form of a schedule: which process runs at each point, short enough to read, type and paste.
//!
//! A letter is a worker in the order of start (`(27)` after `z`), and `@` is the spawner. A number after it is its
//! number of steps: `a2b3` is two steps of the first worker and three of the second. `!` after a worker kills it, and
//! `~` lets its operation time out.

use std::fmt;
use std::str::FromStr;

/// The maximum number of workers in a schedule.
pub(crate) const WORKERS: usize = 64;

/// A participating process: its index in the order of start.
pub(crate) type Participant = usize;

/// The spawner, as a participant: it comes after all workers.
pub(crate) const SPAWNER: Participant = WORKERS;

/// What happens in one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Turn {
    /// A participant performs its next operation.
    Goes(Participant),
    /// Its operation times out.
    TimesOut(Participant),
    /// It is killed.
    Dies(Participant),
}

impl Turn {
    pub(crate) fn participant(self) -> Participant {
        let (Turn::Goes(participant) | Turn::TimesOut(participant) | Turn::Dies(participant)) = self;
        participant
    }
}

/// Whose turn it is, step by step.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Schedule(pub(crate) Vec<Turn>);

impl Schedule {
    /// Returns the schedule of one step of a participant, whose text is the participant's name.
    pub(crate) fn of(participant: Participant) -> Self {
        Schedule(vec![Turn::Goes(participant)])
    }

    pub(crate) fn turns(&self) -> impl Iterator<Item = Turn> {
        self.0.iter().copied()
    }

    /// Returns the schedule without its last turn, if it has one.
    pub(crate) fn without_last(&self) -> Option<Self> {
        self.0.split_last().map(|(_, earlier)| Schedule(earlier.to_vec()))
    }

    /// Returns who takes each turn.
    pub(crate) fn participants(&self) -> impl Iterator<Item = Participant> {
        self.0.iter().map(|turn| turn.participant())
    }

    /// Returns how often another participant takes the turn.
    pub(crate) fn switches(&self) -> usize {
        self.0.windows(2).filter(|pair| pair[0].participant() != pair[1].participant()).count()
    }
}

impl From<Turn> for Schedule {
    fn from(turn: Turn) -> Self {
        Schedule(vec![turn])
    }
}

/// Why a text is not a schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a schedule: {reason} at {place:?} (as in a2b: two steps of the first worker, one of the second)"
)]
pub(crate) struct ScheduleError {
    text: String,
    place: String,
    reason: &'static str,
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for turn in self.0.chunk_by(|one, other| one == other && matches!(one, Turn::Goes(_))) {
            match turn[0].participant() {
                SPAWNER => write!(f, "@")?,
                worker @ 0..26 => write!(f, "{}", char::from(b'a' + worker as u8))?,
                worker => write!(f, "({})", worker + 1)?,
            }
            match turn {
                [Turn::TimesOut(_)] => write!(f, "~")?,
                [Turn::Dies(_)] => write!(f, "!")?,
                [_] => {}
                many => write!(f, "{}", many.len())?,
            }
        }
        Ok(())
    }
}

/// The maximum number of steps in a schedule to replay.
const STEPS: usize = 1_000_000;

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        let mut turns = Vec::new();
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let error = |reason| ScheduleError { text: text.to_owned(), place: rest.to_owned(), reason };
            let (participant, mut after) = match first {
                'a'..='z' => (first as usize - 'a' as usize, &rest[1..]),
                '@' => (SPAWNER, &rest[1..]),
                '(' => {
                    let (number, after) =
                        rest[1..].split_once(')').ok_or_else(|| error("missing closing parenthesis"))?;
                    let number = number.parse().ok().filter(|number| (1..=WORKERS).contains(number));
                    (number.ok_or_else(|| error("invalid worker number"))? - 1, after)
                }
                _ => return Err(error("expected a worker's letter")),
            };
            match after.chars().next() {
                Some(mark @ ('!' | '~')) => {
                    turns.push(if mark == '!' { Turn::Dies(participant) } else { Turn::TimesOut(participant) });
                    after = &after[1..];
                }
                _ => {
                    let digits = after.len() - after.trim_start_matches(|char: char| char.is_ascii_digit()).len();
                    let count = if digits == 0 { Ok(1) } else { after[..digits].parse() };
                    let count = count.ok().filter(|count| (1..=STEPS - turns.len()).contains(count));
                    let count = count.ok_or_else(|| error("invalid number of steps"))?;
                    turns.extend(std::iter::repeat_n(Turn::Goes(participant), count));
                    after = &after[digits..];
                }
            }
            rest = after.trim_start();
        }
        Ok(Schedule(turns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_short_and_reads_back_equal() {
        let turns = [0, 0, 1, 1, 1, SPAWNER, 26, 2].map(Turn::Goes);
        let schedule = Schedule([&turns[..], &[Turn::Dies(0), Turn::Dies(1), Turn::TimesOut(2)]].concat());
        let text = "a2b3@(27)ca!b!c~";
        assert_eq!(schedule.to_string(), text);
        assert_eq!(text.parse(), Ok(schedule.clone()));
        assert_eq!(" a 2 b3 @ (27) c a! b! c~ ".replace("a 2", "a2").parse(), Ok(schedule));
    }

    #[test]
    fn text_that_is_not_a_schedule_is_rejected_with_the_place() {
        for (text, place) in [
            ("a2?b", "?b"),
            ("a0", "a0"),
            ("(65)", "(65)"),
            ("(2", "(2"),
            ("a99999999", "a99999999"),
            ("A", "A"),
            ("é", "é"),
        ] {
            let error = text.parse::<Schedule>().expect_err(text);
            assert_eq!(error.place, place, "{error}");
        }
    }
}
