//! How the tree is searched.

use crate::go::Color;

/// The numbers of the search. The defaults are KataGo's for play (version 1.17, `gtp_example.cfg` and its code).
#[derive(Clone, Debug, PartialEq)]
pub struct Params {
    /// Weight of the priors.
    pub cpuct: f32,
    /// Its growth with the logarithm of the visits.
    pub cpuct_log: f32,
    /// Visits from which on it grows.
    pub cpuct_log_base: f32,
    /// Utility that moves which were not tried lose when all of the policy was tried.
    pub fpu_reduction: f32,
    /// The same at the root.
    pub fpu_reduction_root: f32,
    /// Standard deviation of the utility that is expected.
    pub stdev_prior: f32,
    /// Visits which that expectation is worth.
    pub stdev_prior_weight: f32,
    /// How far another deviation changes the weight of the priors, 0 to 1.
    pub stdev_scale: f32,
    /// Utility of very many points, beside 1 for winning.
    pub score_utility: f32,
    /// Noise on the root's priors.
    pub noise: Option<Noise>,
    /// Spreads the visits of the root over more moves, for analysis (KataGo's `wideRootNoise`): flattens its priors and adds
    /// half a normal distribution of this deviation to every second utility looked at. 0: none.
    pub wide_root_noise: f32,
    /// One side's handicap or advantage in strength, for nets that were taught about it.
    pub doubling: Option<Doubling>,
    /// Flattens (above 1) or sharpens the root's priors.
    pub root_temperature: f32,
    /// Symmetries that the root's evaluation is the mean of, 1 to 8.
    pub root_symmetries: usize,
    /// How positions are turned before they are evaluated.
    pub turning: Turning,
    /// What decides at the root.
    pub mode: Mode,
    /// Standard errors below the mean that a move is taken for in the choice.
    pub lcb_stdevs: f32,
    /// Share of the visits of the most visited move from which on that counts.
    pub lcb_share_min: f32,
    /// Seed of noise, turns and temperature.
    pub seed: u64,
}

/// Dirichlet noise (Silver 2017).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Noise {
    /// Sum of the concentrations of all legal moves.
    pub concentration: f32,
    /// Share of the noise in the priors.
    pub weight: f32,
}

/// What a net is told about the strength of the players: KataGo's `playoutDoublingAdvantage`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Doubling {
    /// Doublings of playouts that the player has over the other, -3 to 3.
    pub advantage: f32,
    /// Whose they are; none: who is to move at the root.
    pub player: Option<Color>,
}

/// Which of the eight symmetries a position is evaluated under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turning {
    /// As it is.
    None,
    /// One drawn by the position and the seed.
    ByPosition,
}

/// What decides at the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// PUCT as everywhere in the tree.
    Puct,
    /// Sequential halving among this many sampled moves (Gumbel AlphaZero, Danihelka 2022).
    Gumbel {
        /// Moves that are considered, 2 and more.
        considered: usize,
    },
}

impl Default for Params {
    fn default() -> Params {
        Params {
            cpuct: 1.0,
            cpuct_log: 0.45,
            cpuct_log_base: 500.0,
            fpu_reduction: 0.2,
            fpu_reduction_root: 0.1,
            stdev_prior: 0.4,
            stdev_prior_weight: 2.0,
            stdev_scale: 0.85,
            score_utility: 0.1,
            noise: None,
            wide_root_noise: 0.0,
            doubling: None,
            root_temperature: 1.0,
            root_symmetries: 1,
            turning: Turning::ByPosition,
            mode: Mode::Puct,
            lcb_stdevs: 5.0,
            lcb_share_min: 0.15,
            seed: 1,
        }
    }
}

impl Params {
    /// KataGo's noise for analysis.
    pub const ANALYSIS_WIDE_ROOT_NOISE: f32 = 0.04;
}

impl Doubling {
    /// What the net is told on `to_move`'s turn, in a search whose root is `root`'s turn.
    pub(super) fn told(self, to_move: Color, root: Color) -> f32 {
        if self.player.unwrap_or(root) == to_move { self.advantage } else { -self.advantage }
    }
}

impl Noise {
    /// KataGo's for self-play.
    pub const SELF_PLAY: Noise = Noise { concentration: 10.83, weight: 0.25 };
}
