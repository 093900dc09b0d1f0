//! Indices and slices.
//!
//! # Standard
//! Python's: negative counts from the end, a slice's bounds never fail (`slice.indices`).

use super::Failure;

/// Returns the position of `index` among `len` items.
pub(crate) fn place(index: i64, len: usize) -> Result<usize, Failure> {
    let at = bound(index, len, -1, len as i128);
    usize::try_from(at).ok().filter(|at| *at < len).ok_or(Failure::IndexOutOfRange)
}

/// Returns where `index` is among `len` items, counted from the start and at least `least` and at most `most`.
pub(crate) fn bound(index: i64, len: usize, least: i128, most: i128) -> i128 {
    let from_the_start = i128::from(index) + if index < 0 { len as i128 } else { 0 };
    from_the_start.clamp(least, most)
}

/// Returns the positions of a slice, in its order.
pub(crate) fn places(
    [begin, end, step]: [Option<i64>; 3],
    len: usize,
) -> Result<impl ExactSizeIterator<Item = usize>, Failure> {
    let step = i128::from(step.unwrap_or(1));
    if step == 0 {
        return Err(Failure::bad_argument("a step that is not 0", "0"));
    }
    let (least, most) = if step > 0 { (0, len as i128) } else { (-1, len as i128 - 1) };
    let (first, last) = if step > 0 { (least, most) } else { (most, least) };
    let begin = begin.map_or(first, |begin| bound(begin, len, least, most));
    let way = end.map_or(last, |end| bound(end, len, least, most)) - begin;
    let is_empty = (way > 0) != (step > 0);
    let count = if is_empty { 0 } else { way.unsigned_abs().div_ceil(step.unsigned_abs()) as usize };
    // Between the bounds, which are within 0..len.
    Ok((0..count).map(move |number| (begin + number as i128 * step) as usize))
}

/// Returns the range of a slice with step 1; the only kind whose length may change.
pub(crate) fn range([begin, end, step]: [Option<i64>; 3], len: usize) -> Option<std::ops::Range<usize>> {
    if step.is_some_and(|step| step != 1) {
        return None;
    }
    let bound = |index| bound(index, len, 0, len as i128) as usize;
    let begin = begin.map_or(0, bound);
    Some(begin..end.map_or(len, bound).max(begin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_counts_from_both_ends() {
        assert_eq!(place(-1, 3), Ok(2));
        assert_eq!(place(3, 3), Err(Failure::IndexOutOfRange));
        assert_eq!(place(i64::MIN, 3), Err(Failure::IndexOutOfRange));
    }

    #[test]
    fn slices_are_python_s() {
        let of = |slice| places(slice, 5).expect("a step").collect::<Vec<_>>();
        assert_eq!(of([None, None, None]), [0, 1, 2, 3, 4]);
        assert_eq!(of([None, None, Some(-2)]), [4, 2, 0]);
        assert_eq!(of([Some(-2), Some(100), None]), [3, 4]);
        assert_eq!(of([Some(3), Some(1), None]), [0; 0]);
        assert_eq!(of([Some(i64::MAX), Some(i64::MIN), Some(i64::MIN)]), [4]);
        assert!(places([None, None, Some(0)], 5).is_err());
        assert_eq!(range([Some(-2), None, None], 5), Some(3..5));
        assert_eq!(range([Some(4), Some(2), Some(1)], 5), Some(4..4));
        assert_eq!(range([None, None, Some(2)], 5), None);
    }
}
