//! Signs and colours: every state has a sign of its own, so that colours are only an aid. They are those of Okabe and
//! Ito, as near as 256 colours come, and readable on dark and light backgrounds.

use ratatui::style::{Color, Modifier, Style};

use crate::report::lanes::State;
use crate::report::language::Language;
use crate::report::screen::Screen;

/// What a part of the screen means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Tone {
    #[default]
    Plain,
    /// Of little importance.
    Soft,
    /// A title.
    Strong,
    Holding,
    Waiting,
    Working,
    Good,
    Bad,
    /// The selected worker; the last line.
    Reverse,
}

/// How the screen looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    pub(super) language: Language,
    pub(super) is_ascii: bool,
    is_colored: bool,
}

const BLUE: Color = Color::Indexed(32);
const ORANGE: Color = Color::Indexed(172);
const GREEN: Color = Color::Indexed(36);
const VERMILION: Color = Color::Indexed(166);

impl Look {
    pub(super) fn new(language: Language, is_colored: bool) -> Self {
        Look { language, is_ascii: Screen::for_people(language).is_ascii(), is_colored }
    }

    #[cfg(test)]
    pub(super) fn plain(language: Language) -> Self {
        Look { language, is_ascii: false, is_colored: false }
    }

    #[cfg(test)]
    pub(super) fn in_ascii(self) -> Self {
        Look { is_ascii: true, ..self }
    }

    /// Returns one of two wordings.
    pub(super) fn pick<'a>(&self, en: &'a str, zh: &'a str) -> &'a str {
        self.language.pick(en, zh)
    }

    /// Returns a sign, or what stands for it in ASCII.
    pub(super) fn sign<'a>(&self, sign: &'a str, ascii: &'a str) -> &'a str {
        if self.is_ascii { ascii } else { sign }
    }

    pub(super) fn style(&self, tone: Tone) -> Style {
        let (color, modifier) = match tone {
            Tone::Plain => (None, Modifier::empty()),
            Tone::Soft => (None, Modifier::DIM),
            Tone::Strong => (None, Modifier::BOLD),
            Tone::Holding => (Some(BLUE), Modifier::BOLD),
            Tone::Waiting => (Some(ORANGE), Modifier::empty()),
            Tone::Working => (Some(GREEN), Modifier::empty()),
            Tone::Good => (Some(GREEN), Modifier::BOLD),
            Tone::Bad => (Some(VERMILION), Modifier::BOLD),
            Tone::Reverse => (None, Modifier::REVERSED),
        };
        let style = Style::new().add_modifier(modifier);
        color.filter(|_| self.is_colored).map_or(style, |color| style.fg(color))
    }
}

/// Returns the tone of a worker's state.
pub(super) fn tone_of(state: State) -> Tone {
    match state {
        State::Holding => Tone::Holding,
        State::Waiting | State::Both => Tone::Waiting,
        State::Working => Tone::Working,
        State::Died => Tone::Bad,
        State::Running => Tone::Plain,
        State::NotStarted | State::Ended => Tone::Soft,
    }
}
