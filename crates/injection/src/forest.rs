//! Trees over the meanings of a window.

/// The meanings that a tree asks for.
pub const TREE_DEPTH: usize = 5;

/// Asks for a few meanings, and says something for each answer to all of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Tree {
    /// Which meanings, by their bits.
    pub bits: [u8; TREE_DEPTH],
    /// By the answers, the first one in the highest bit.
    pub leaves: [i8; 1 << TREE_DEPTH],
}

/// What they say is added up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Forest {
    pub trees: Vec<Tree>,
    pub scale: f32,
}

impl Forest {
    /// The log-odds for a window with these meanings.
    pub fn odds(&self, concepts: u64) -> f32 {
        let said = |it: &Tree| {
            let leaf = it
                .bits
                .iter()
                .fold(0, |leaf, bit| leaf << 1 | (concepts >> (bit & 63) & 1) as usize);
            i32::from(it.leaves[leaf])
        };
        self.trees.iter().map(said).sum::<i32>() as f32 * self.scale
    }

    pub(crate) fn write(&self, octets: &mut Vec<u8>) {
        octets.extend((self.trees.len() as u32).to_le_bytes());
        octets.extend(self.scale.to_le_bytes());
        for it in &self.trees {
            octets.extend(it.bits);
            octets.extend(it.leaves.map(i8::cast_unsigned));
        }
    }

    /// What `write` wrote, and what comes after it.
    pub(crate) fn read(octets: &[u8]) -> Option<(Forest, &[u8])> {
        let (count, rest) = octets.split_first_chunk()?;
        let (scale, mut rest) = rest.split_first_chunk()?;
        let scale = Some(f32::from_le_bytes(*scale)).filter(|it| it.is_finite())?;
        let mut trees = Vec::new();
        for _ in 0..u32::from_le_bytes(*count) {
            let (bits, after) = rest.split_first_chunk()?;
            let (leaves, after) = after.split_first_chunk()?;
            let leaves: &[u8; 1 << TREE_DEPTH] = leaves;
            trees.push(Tree { bits: *bits, leaves: leaves.map(u8::cast_signed) });
            rest = after;
        }
        Some((Forest { trees, scale }, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forest() -> Forest {
        let mut leaves = [-1; 1 << TREE_DEPTH];
        leaves[0b10001] = 100;
        Forest { trees: vec![Tree { bits: [9, 1, 2, 3, 0], leaves }; 2], scale: 0.5 }
    }

    #[test]
    fn what_trees_say_adds_up() {
        assert!((forest().odds(1 << 9 | 1) - 100.0).abs() < 1e-6);
        assert!((forest().odds(0) + 1.0).abs() < 1e-6);
    }

    #[test]
    fn octets_tell_the_whole_forest() {
        let mut octets = Vec::new();
        forest().write(&mut octets);
        octets.push(7);
        assert_eq!(Forest::read(&octets), Some((forest(), &[7][..])));
        assert_eq!(Forest::read(&octets[..octets.len() - 2]), None);
    }
}
