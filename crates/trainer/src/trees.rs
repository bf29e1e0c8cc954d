//! Grows trees over the meanings of windows, each on what those before it got wrong.
//!
//! All leaves of a level ask for the same meaning, so a tree is read without a branch. Each tree sees half
//! of the windows and of the meanings, so that no few of them decide alone.

use fastrand::Rng;
use injection::{Forest, TREE_DEPTH, Tree};

const TREES: usize = 160;
const RATE: f64 = 0.15;
/// What a leaf has to weigh before it is believed.
const DOUBT: f64 = 40.0;
const LEAVES: usize = 1 << TREE_DEPTH;

/// A window: its meanings, whether it is an attack's, and what it weighs.
pub(crate) type Row = (u64, bool, f32);

/// Of the windows that reach a leaf: the sums of the first and second derivatives of the loss.
#[derive(Clone, Copy, Default)]
struct Sums {
    slope: f64,
    bend: f64,
}

impl Sums {
    fn add(&mut self, slope: f64, bend: f64) {
        self.slope += slope;
        self.bend += bend;
    }

    fn without(self, other: Sums) -> Sums {
        Sums { slope: self.slope - other.slope, bend: self.bend - other.bend }
    }

    fn gain(self) -> f64 {
        self.slope * self.slope / (self.bend + DOUBT)
    }
}

pub(crate) fn grow(rows: &[Row], rng: &mut Rng) -> Forest {
    let mut odds = vec![0.0f64; rows.len()];
    let mut grown: Vec<([u8; TREE_DEPTH], [f64; LEAVES])> = Vec::new();
    for _ in 0..TREES {
        let errors: Vec<Sums> =
            rows.iter().zip(&odds).map(|(row, odds)| error(*row, *odds)).collect();
        let some: Vec<usize> = (0..rows.len()).filter(|_| rng.bool()).collect();
        let meanings = rng.u64(..);
        let (bits, leaves) = tree(rows, &errors, &some, meanings);
        for (row, odds) in rows.iter().zip(&mut odds) {
            *odds += leaves[leaf(&bits, row.0)];
        }
        grown.push((bits, leaves));
    }
    squeezed(&grown)
}

fn error(row: Row, odds: f64) -> Sums {
    let (_, attack, weight) = row;
    let weight = f64::from(weight.min(8.0));
    let chance = 1.0 / (1.0 + (-odds).exp());
    let target = if attack { 1.0 } else { 0.0 };
    Sums { slope: (chance - target) * weight, bend: chance * (1.0 - chance) * weight }
}

fn leaf(bits: &[u8; TREE_DEPTH], concepts: u64) -> usize {
    bits.iter().fold(0, |leaf, bit| leaf << 1 | (concepts >> bit & 1) as usize)
}

/// A tree by some of the windows and of the meanings.
fn tree(
    rows: &[Row],
    errors: &[Sums],
    some: &[usize],
    meanings: u64,
) -> ([u8; TREE_DEPTH], [f64; LEAVES]) {
    let mut bits = [0u8; TREE_DEPTH];
    let mut reached = vec![0u8; some.len()];
    for (level, bit) in bits.iter_mut().enumerate() {
        let mut having = vec![[Sums::default(); 64]; 1 << level];
        let mut all = vec![Sums::default(); 1 << level];
        for (at, leaf) in some.iter().zip(&reached) {
            let Sums { slope, bend } = errors[*at];
            all[usize::from(*leaf)].add(slope, bend);
            let having = &mut having[usize::from(*leaf)];
            let mut left = rows[*at].0 & meanings;
            while left != 0 {
                having[left.trailing_zeros() as usize].add(slope, bend);
                left &= left - 1;
            }
        }
        let gain = |bit: u8| -> f64 {
            let leaves = having.iter().zip(&all);
            leaves
                .map(|(it, all)| {
                    it[usize::from(bit)].gain() + all.without(it[usize::from(bit)]).gain()
                })
                .sum()
        };
        let best = (0..64u8)
            .map(|it| (gain(it), it))
            .max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
        *bit = best.map_or(0, |it| it.1);
        for (at, leaf) in some.iter().zip(&mut reached) {
            *leaf = *leaf << 1 | (rows[*at].0 >> *bit & 1) as u8;
        }
    }
    let mut sums = [Sums::default(); LEAVES];
    for (at, leaf) in some.iter().zip(&reached) {
        sums[usize::from(*leaf)].add(errors[*at].slope, errors[*at].bend);
    }
    (bits, sums.map(|it| -RATE * it.slope / (it.bend + DOUBT)))
}

/// In octets.
fn squeezed(grown: &[([u8; TREE_DEPTH], [f64; LEAVES])]) -> Forest {
    let largest = grown.iter().flat_map(|it| it.1).map(f64::abs).fold(f64::EPSILON, f64::max);
    let scale = largest / 127.0;
    let tree = |(bits, leaves): &([u8; TREE_DEPTH], [f64; LEAVES])| Tree {
        bits: *bits,
        leaves: leaves.map(|it| (it / scale).round().clamp(-127.0, 127.0) as i8),
    };
    Forest { trees: grown.iter().map(tree).collect(), scale: scale as f32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_meanings_that_only_count_together_are_found() {
        let mut rng = Rng::with_seed(3);
        let rows: Vec<Row> = (0..8_000)
            .map(|_| {
                let concepts = rng.u64(..) & 0xff;
                (concepts, concepts & 0b11 == 0b11, 1.0)
            })
            .collect();
        let forest = grow(&rows, &mut rng);
        let least =
            rows.iter().filter(|it| it.1).map(|it| forest.odds(it.0)).fold(f32::MAX, f32::min);
        let most =
            rows.iter().filter(|it| !it.1).map(|it| forest.odds(it.0)).fold(f32::MIN, f32::max);
        assert!(least > most, "{least} {most}");
    }

    #[test]
    fn the_same_seed_grows_the_same_trees() {
        let rows: Vec<Row> = (0..500u64).map(|it| (it, it % 3 == 0, 1.0)).collect();
        let grown = |seed| grow(&rows, &mut Rng::with_seed(seed));
        assert_eq!(grown(1), grown(1));
        assert_ne!(grown(1), grown(2));
    }
}
