//! The visible form of many spans on one line: wide ones as bars, narrow ones as shades by their share of the time.

use super::frame::Frame;
use crate::report::model::Span;

/// The width below which a span is not drawn individually, in pixels.
const NARROW: f64 = 1.5;

/// A shaded part of a line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Shade {
    pub(super) x: f64,
    pub(super) width: f64,
    /// From 0 to 1.
    pub(super) opacity: f64,
}

/// Separates wide spans from narrow ones, and computes the shade of the narrow ones, pixel by pixel.
pub(super) fn visible<'a>(
    spans: impl Iterator<Item = &'a Span<'a>>,
    frame: &Frame<'_>,
) -> (Vec<&'a Span<'a>>, Vec<Shade>) {
    let mut wide = Vec::new();
    let mut covered: Vec<f64> = Vec::new();
    for span in spans {
        let (from, to) = (frame.x(span.from_us) - frame.left, frame.x(span.to_us) - frame.left);
        if to - from >= NARROW {
            wide.push(span);
            continue;
        }
        covered.resize((frame.right - frame.left) as usize + 3, 0.0);
        let (first, last) = (from.floor(), to.floor());
        for (column, covered) in covered.iter_mut().enumerate().take(last as usize + 1).skip(first as usize) {
            let share = to.min(column as f64 + 1.0) - from.max(column as f64);
            *covered += share.max(f64::MIN_POSITIVE);
        }
    }
    let mut shades: Vec<Shade> = Vec::new();
    for (column, share) in covered.into_iter().enumerate().filter(|(_, share)| *share > 0.0) {
        let (x, opacity) = (frame.left + column as f64, opacity(share));
        match shades.last_mut() {
            Some(shade) if shade.opacity == opacity && shade.x + shade.width == x => shade.width += 1.0,
            _ => shades.push(Shade { x, width: 1.0, opacity }),
        }
    }
    (wide, shades)
}

/// Uses few steps, so that neighbours merge; even the shortest span is visible.
fn opacity(share: f64) -> f64 {
    match share {
        ..0.3 => 0.55,
        0.3..0.6 => 0.7,
        0.6..0.85 => 0.85,
        _ => 1.0,
    }
}
