//! Sorting and adding by Python's rules: numbers of all types together, everything else only with its own type.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::{Beyond64Bits, Variant};

/// Two pieces of data cannot be ordered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("cannot compare {0} with {1}")]
pub struct NotComparable(pub(crate) String, pub(crate) String);

/// Compares two pieces of data. Those that cannot be ordered are noted in `refused`, and are then in some total order.
pub(crate) fn compare(a: &Variant, b: &Variant, refused: &mut Option<NotComparable>) -> Ordering {
    match (a, b) {
        (Variant::Str(a), Variant::Str(b)) => a.cmp(b),
        (Variant::Bytes(a), Variant::Bytes(b)) => a.cmp(b),
        (Variant::List(a), Variant::List(b)) => {
            let first = a.iter().zip(b).map(|(a, b)| compare(a, b, refused)).find(|order| order.is_ne());
            first.unwrap_or_else(|| a.len().cmp(&b.len()))
        }
        _ => number_order(a, b).unwrap_or_else(|| {
            *refused = Some(NotComparable(a.shape().to_owned(), b.shape().to_owned()));
            class(a).cmp(class(b))
        }),
    }
}

/// Data of one class are ordered among themselves, or else all equal.
fn class(variant: &Variant) -> &'static str {
    match variant {
        Variant::Float(number) if number.is_nan() => "a NaN",
        _ if variant.as_f64().is_some() => "a number",
        _ => variant.shape(),
    }
}

/// Orders two numbers; `None` for NaN and for anything that is not a number.
fn number_order(a: &Variant, b: &Variant) -> Option<Ordering> {
    match (a.as_int::<i128>(), b.as_int::<i128>(), a, b) {
        (Some(a), Some(b), _, _) => Some(a.cmp(&b)),
        (Some(a), None, _, Variant::Float(b)) => int_to_float(a, *b),
        (None, Some(b), Variant::Float(a), _) => int_to_float(b, *a).map(Ordering::reverse),
        (None, None, Variant::Float(a), Variant::Float(b)) => a.partial_cmp(b),
        _ => None,
    }
}

pub(super) fn number_eq(a: &Variant, b: &Variant) -> bool {
    number_order(a, b) == Some(Ordering::Equal)
}

/// Compares exactly: a 64-bit number may lie between two neighbouring floats.
fn int_to_float(int: i128, float: f64) -> Option<Ordering> {
    if float.is_nan() {
        return None;
    }
    // Saturates at the ends of i128, which are beyond every Int; the fraction decides between equal integer parts.
    let whole = float.trunc() as i128;
    Some(int.cmp(&whole).then_with(|| 0.0_f64.total_cmp(&(float.fract() + 0.0))))
}

/// Returns the sum of two numbers: an integer if both are. `None` if either is not a number.
pub(crate) fn add(a: &Variant, b: &Variant) -> Option<Result<Variant, Beyond64Bits>> {
    match (a.as_int::<i128>(), b.as_int::<i128>()) {
        (Some(a), Some(b)) => Some(Variant::try_from(a + b)),
        _ => Some(Ok(Variant::Float(a.as_f64()? + b.as_f64()?))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(a: impl Into<Variant>, b: impl Into<Variant>) -> Result<Ordering, NotComparable> {
        let mut refused = None;
        let order = compare(&a.into(), &b.into(), &mut refused);
        refused.map_or(Ok(order), Err)
    }

    #[test]
    fn numbers_of_all_types_have_one_order() {
        assert_eq!(order(1, 1.5), Ok(Ordering::Less));
        assert_eq!(order(-1, -1.5), Ok(Ordering::Greater));
        assert_eq!(order(2, -0.0), Ok(Ordering::Greater));
        assert_eq!(order(0, -0.0), Ok(Ordering::Equal));
        assert_eq!(order(1.5, true), Ok(Ordering::Greater));
        assert_eq!(order(u64::MAX, f64::INFINITY), Ok(Ordering::Less));
        assert_eq!(order((1_u64 << 53) + 1, (1_u64 << 53) as f64), Ok(Ordering::Greater));
        assert!(order(1, f64::NAN).is_err());
    }

    #[test]
    fn lists_are_compared_item_by_item() {
        let list = |items: &[i32]| Variant::from_iter(items.iter().map(|item| Variant::from(*item)));
        assert_eq!(order(list(&[1, 2]), list(&[1, 3])), Ok(Ordering::Less));
        assert_eq!(order(list(&[1, 2]), list(&[1])), Ok(Ordering::Greater));
    }

    #[test]
    fn different_shapes_have_no_order() {
        assert_eq!(order("a", 1), Err(NotComparable("text".to_owned(), "a whole number".to_owned())));
    }

    #[test]
    fn sums_stay_whole_and_never_wrap() {
        assert_eq!(add(&1.into(), &2.into()), Some(Ok(Variant::from(3))));
        assert_eq!(add(&1.into(), &0.5.into()), Some(Ok(Variant::from(1.5))));
        assert_eq!(add(&u64::MAX.into(), &1.into()), Some(Err(Beyond64Bits)));
        assert_eq!(add(&"a".into(), &1.into()), None);
    }
}
