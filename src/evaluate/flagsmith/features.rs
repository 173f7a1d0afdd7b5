//! Sets of features: a bit for each.

use super::FeatureIndex;

/// Some of a program's features.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeatureSet(Vec<u64>);

const BITS: usize = u64::BITS as usize;

impl FeatureSet {
    /// Those of `features` features that `holds` says.
    pub fn of(features: usize, holds: impl Fn(FeatureIndex) -> bool) -> Self {
        let mut set = Self::default();
        set.reset(features);
        (0..features as u32).map(FeatureIndex).filter(|&at| holds(at)).for_each(|at| set.add(at));
        set
    }

    /// Becomes an empty set of some of so many features.
    pub fn reset(&mut self, features: usize) {
        self.0.clear();
        self.0.resize(features.div_ceil(BITS), 0);
    }

    /// Adds a feature.
    #[inline]
    pub fn add(&mut self, feature: FeatureIndex) {
        let at = feature.0 as usize;
        self.0[at / BITS] |= 1 << (at % BITS);
    }

    /// Those that are in either set, in their order. The sets are of the same program.
    #[inline]
    pub fn union<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = FeatureIndex> + 'a {
        self.0.iter().zip(&other.0).zip(0..).flat_map(|((ours, theirs), word): (_, u32)| {
            let mut rest = ours | theirs;
            std::iter::from_fn(move || {
                let next = (rest != 0).then(|| rest.trailing_zeros())?;
                rest &= rest - 1;
                Some(FeatureIndex(word * u64::BITS + next))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_union_names_each_feature_once_and_in_order() {
        let set = |of: &[u32]| FeatureSet::of(130, |at| of.contains(&at.0));
        let (ours, theirs) = (set(&[0, 63, 64, 129]), set(&[1, 63, 128]));
        let union: Vec<u32> = ours.union(&theirs).map(|at| at.0).collect();
        assert_eq!(union, [0, 1, 63, 64, 128, 129]);
        assert_eq!(set(&[]).union(&set(&[])).count(), 0);
    }
}
