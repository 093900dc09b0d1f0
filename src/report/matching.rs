//! Matches what one process sent with what another received.

use std::collections::{HashMap, VecDeque};

use super::class::{Direction, Key, Transfer};
use super::model::{Edge, EdgeKind, Point};

/// The transfers whose second end was not reported yet, and the last receivers.
#[derive(Debug, Default)]
pub(super) struct Matcher<'a> {
    /// The ends of transfers whose other ends were not reported yet.
    unmatched: HashMap<Key<'a>, VecDeque<(Direction, Point)>>,
    /// The last receiver.
    taken: HashMap<Key<'a>, Point>,
}

impl<'a> Matcher<'a> {
    /// Adds one end. Returns the edge once both ends are known.
    pub(super) fn handle(&mut self, transfer: Transfer<'a>, at: Point) -> Option<Edge<'a>> {
        let Transfer { direction, key, value, again } = transfer;
        let before = if direction == Direction::In { self.taken.insert(key, at) } else { None };
        if let Some(from) = before.filter(|_| again) {
            return Some(Edge::new(EdgeKind::Redelivered, Some(value), from, at));
        }
        let unmatched = self.unmatched.entry(key).or_default();
        if unmatched.front().is_none_or(|(other, _)| *other == direction) {
            unmatched.push_back((direction, at));
            return None;
        }
        let (_, other) = unmatched.pop_front()?;
        let (from, to) = if direction == Direction::Out { (at, other) } else { (other, at) };
        let edge_kind = match key {
            Key::Message(_) => EdgeKind::Message,
            Key::Reply(_) => EdgeKind::Reply,
            Key::Item { .. } => EdgeKind::Item,
        };
        Some(Edge::new(edge_kind, Some(value), from, to))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pass(matcher: &mut Matcher<'_>, transfer: (Direction, &'static Value, bool), at_us: f64) -> Option<(f64, f64)> {
        let (direction, value, again) = transfer;
        let transfer = Transfer { direction, key: Key::Message(value), value, again };
        let edge = matcher.handle(transfer, Point { lane: 0, at_us });
        edge.map(|edge| (edge.from.at_us, edge.to.at_us))
    }

    fn one() -> &'static Value {
        Box::leak(Box::new(json!(1)))
    }

    #[test]
    fn equal_things_arrive_in_the_order_in_which_they_left() {
        let (mut matcher, value) = (Matcher::default(), one());
        assert_eq!(pass(&mut matcher, (Direction::Out, value, false), 1.0), None);
        assert_eq!(pass(&mut matcher, (Direction::Out, value, false), 2.0), None);
        assert_eq!(pass(&mut matcher, (Direction::In, value, false), 3.0), Some((1.0, 3.0)));
        assert_eq!(pass(&mut matcher, (Direction::In, value, false), 4.0), Some((2.0, 4.0)));
        assert_eq!(pass(&mut matcher, (Direction::In, value, false), 5.0), None, "nothing is left");
    }

    #[test]
    fn whatever_was_told_first_waits_for_its_other_end() {
        let (mut matcher, value) = (Matcher::default(), one());
        assert_eq!(pass(&mut matcher, (Direction::In, value, false), 1.0), None);
        assert_eq!(pass(&mut matcher, (Direction::Out, value, false), 2.0), Some((2.0, 1.0)));
    }

    #[test]
    fn what_comes_again_comes_from_who_had_it() {
        let (mut matcher, value) = (Matcher::default(), one());
        pass(&mut matcher, (Direction::Out, value, false), 1.0);
        pass(&mut matcher, (Direction::In, value, false), 2.0);
        assert_eq!(pass(&mut matcher, (Direction::In, value, true), 3.0), Some((2.0, 3.0)));
        // Its receiver died before it could report: then it comes from its sender.
        pass(&mut matcher, (Direction::Out, Box::leak(Box::new(json!(2))), false), 4.0);
        assert_eq!(pass(&mut matcher, (Direction::In, Box::leak(Box::new(json!(2))), true), 5.0), Some((4.0, 5.0)));
    }
}
