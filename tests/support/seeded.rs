//! Chance that can be repeated: every number comes from one seed, which a failing test prints.

/// A stream of numbers (SplitMix64).
pub(crate) struct Seeded {
    seed: u64,
    state: u64,
}

impl Seeded {
    /// A stream from the seed in an environment variable, or from a new one.
    pub(crate) fn from_environment(variable: &str) -> Self {
        let seed = match std::env::var(variable) {
            Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable} must be a number, not {text:?}")),
            Err(_) => super::place::random(),
        };
        // The harness shows it when the test fails.
        println!("{variable}={seed}");
        Self { seed, state: seed }
    }

    /// What to begin with to get the same stream again.
    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        assert!(limit > 0, "nothing is below 0");
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}
