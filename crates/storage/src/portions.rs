//! Batches cut by size: a hundred large mails at once would take gigabytes of memory.

use contract::{Content, content::Place};

/// Octets of content in one transaction.
const LIMIT: u64 = 64 * 1024 * 1024;

/// What a claim counts for whose size is not told.
const UNKNOWN: u64 = 32 * 1024 * 1024;

/// Cuts items into portions below the limit; one that is above it comes alone.
pub(crate) fn portions<T>(items: Vec<T>, content: impl Fn(&T) -> Option<&Content>) -> Vec<Vec<T>> {
    let mut portions: Vec<Vec<T>> = Vec::new();
    let mut room = 0;
    for item in items {
        let size = content(&item).map_or(0, size);
        match portions.last_mut() {
            Some(portion) if size <= room => portion.push(item),
            _ => {
                room = LIMIT;
                portions.push(vec![item]);
            }
        }
        room = room.saturating_sub(size);
    }
    portions
}

fn size(content: &Content) -> u64 {
    match &content.place {
        Some(Place::Claim(_)) if content.size_bytes == 0 => UNKNOWN,
        _ => content.size_bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(sizes: &[u64]) -> Vec<Vec<u64>> {
        let contents = sizes.iter().map(|it| Content { size_bytes: *it, place: None }).collect();
        let portions = portions(contents, |it: &Content| Some(it));
        portions.into_iter().map(|it| it.into_iter().map(|it| it.size_bytes).collect()).collect()
    }

    #[test]
    fn small_ones_go_together() {
        assert_eq!(sizes(&[1, 2, 3]), [[1, 2, 3]]);
        assert_eq!(sizes(&[]), [[0; 0]; 0]);
    }

    #[test]
    fn large_ones_go_alone() {
        let portions = sizes(&[LIMIT / 2, LIMIT / 2, 1, LIMIT * 2, 1]);
        assert_eq!(portions, [vec![LIMIT / 2, LIMIT / 2], vec![1], vec![LIMIT * 2], vec![1]]);
    }

    #[test]
    fn a_claim_of_unknown_size_is_large() {
        let claim = Content { size_bytes: 0, place: Some(Place::Claim("k".to_owned())) };
        assert_eq!(portions(vec![claim; 3], |it| Some(it)).len(), 2);
    }
}
