//! The time axis: round ticks, with a pale vertical line at each.

use svg::node::element::Group;

use super::frame::Frame;
use crate::report::drawing::{line, text};
use crate::report::language::Language;

/// The approximate distance between ticks.
const APART: f64 = 100.0;
/// The total height of lanes above which the axis is repeated at the top.
const TALL: f64 = 700.0;

pub(super) fn draw(frame: &Frame<'_>) -> Group {
    let (bottom, top) = (frame.bottom(), frame.top);
    let mut axis = Group::new();
    let most = ((frame.right - frame.left) / APART).floor().max(1.0);
    for (at_us, name) in ticks(frame.from_us, frame.ended_us, most, frame.language) {
        let x = frame.x(at_us);
        axis = axis.add(line("grid", (x, top), (x, bottom))).add(text("soft tiny middle", x, bottom + 18.0, &name));
        if bottom - top > TALL {
            axis = axis.add(text("soft tiny middle", x, top - 6.0, &name));
        }
    }
    axis.add(line("axis", (frame.left, bottom), (frame.right, bottom)))
}

/// Returns round times from `from_us` to `ended_us`, at most about `most` of them, with their labels.
fn ticks(from_us: f64, ended_us: f64, most: f64, language: Language) -> Vec<(f64, String)> {
    let least = (ended_us - from_us) / most;
    let power = 10_f64.powf(least.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= least);
    let step = step.unwrap_or(10.0 * power).max(1.0);
    let (unit_us, unit) = match ended_us {
        1e6.. => (1e6, language.pick("s", "秒")),
        1e3.. => (1e3, language.pick("ms", "毫秒")),
        _ => (1.0, language.pick("µs", "微秒")),
    };
    let decimals = (unit_us / step).log10().ceil().max(0.0) as usize;
    let numbers = (from_us / step).ceil() as u64..=(ended_us / step).floor() as u64;
    let name = |at_us: f64| match at_us {
        0.0 => "0".to_owned(),
        _ => format!("{:.decimals$} {unit}", at_us / unit_us),
    };
    numbers.map(|number| number as f64 * step).map(|at_us| (at_us, name(at_us))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        let names =
            |ended_us| ticks(0.0, ended_us, 8.0, Language::En).into_iter().map(|(_, name)| name).collect::<Vec<_>>();
        assert_eq!(names(782_700.0), ["0", "100 ms", "200 ms", "300 ms", "400 ms", "500 ms", "600 ms", "700 ms"]);
        assert_eq!(names(1_600_000.0).last().map(String::as_str), Some("1.6 s"));
        assert_eq!(names(8_321.0), ["0", "2 ms", "4 ms", "6 ms", "8 ms"]);
        assert_eq!(names(1.0), ["0", "1 µs"]);
        let late = ticks(5_200.0, 5_500.0, 4.0, Language::En).into_iter().map(|(_, name)| name).collect::<Vec<_>>();
        assert_eq!(late, ["5.2 ms", "5.3 ms", "5.4 ms", "5.5 ms"]);
        assert_eq!(names(3_600e6).last().map(String::as_str), Some("3500 s"));
    }
}
