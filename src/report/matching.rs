//! Matches what one process sent with what another received.

use std::collections::{HashMap, VecDeque};

use super::class::{Direction, Key, Transfer};
use super::model::{Edge, EdgeKind, Point};

/// Everything in transfer, and who had what.
#[derive(Debug, Default)]
pub(super) struct Matcher<'a> {
    /// Sent: the origin, and the index in its lane.
    sent: HashMap<Key<'a>, VecDeque<(Point, usize)>>,
    /// Received before its sender reported it.
    early: HashMap<Key<'a>, VecDeque<Point>>,
    /// The last receiver.
    taken: HashMap<Key<'a>, Point>,
}

impl<'a> Matcher<'a> {
    /// Applies one end. Returns the edge as soon as both ends are known, with its sender's index.
    pub(super) fn handle(&mut self, transfer: Transfer<'a>, at: Point, place: usize) -> Option<(Edge<'a>, usize)> {
        let Transfer { direction, key, value, again } = transfer;
        let edge_kind = match key {
            Key::Message(_) => EdgeKind::Message,
            Key::Reply(_) => EdgeKind::Reply,
            Key::Item { .. } => EdgeKind::Item,
        };
        let edge = |edge_kind, from, to| {
            let is_decisive = edge_kind == EdgeKind::Redelivered;
            Edge { edge_kind, value: Some(value), is_decisive, from, to }
        };
        if direction == Direction::Out {
            let arrived = self.early.get_mut(&key).and_then(VecDeque::pop_front);
            if arrived.is_none() {
                self.sent.entry(key).or_default().push_back((at, place));
            }
            return arrived.map(|to| (edge(edge_kind, at, to), place));
        }
        let before = self.taken.insert(key, at);
        if let Some(from) = before.filter(|_| again) {
            return Some((edge(EdgeKind::Redelivered, from, at), place));
        }
        let left = self.sent.get_mut(&key).and_then(VecDeque::pop_front);
        if left.is_none() {
            self.early.entry(key).or_default().push_back(at);
        }
        left.map(|(from, place)| (edge(edge_kind, from, at), place))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pass(matcher: &mut Matcher<'_>, transfer: (Direction, &'static Value, bool), at_us: f64) -> Option<(f64, f64)> {
        let (direction, value, again) = transfer;
        let transfer = Transfer { direction, key: Key::Message(value), value, again };
        let edge = matcher.handle(transfer, Point { lane: 0, at_us }, 0);
        edge.map(|(edge, _)| (edge.from.at_us, edge.to.at_us))
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
