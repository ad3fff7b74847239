//! Every kind of policy with its required keys, as in a configuration file.
#![allow(dead_code, reason = "each test file uses its own part")]

/// Steps of the run if the policy has no length of its own.
pub(crate) const STEPS: u64 = 40;

/// One kind: the keys of `[policy]`, the number of steps if the policy has its own, and whether it
/// sets momentum.
pub(crate) struct Case {
    pub(crate) kind: &'static str,
    pub(crate) keys: &'static str,
    pub(crate) length: Option<u64>,
    pub(crate) momentum: bool,
}

const fn case(kind: &'static str, keys: &'static str, length: Option<u64>, momentum: bool) -> Case {
    Case {
        kind,
        keys,
        length,
        momentum,
    }
}

impl Case {
    /// The configuration file: `steps` if needed, and the `[policy]`.
    pub(crate) fn file(&self) -> String {
        let steps = match self.length {
            None => format!("steps = {STEPS}\n"),
            Some(_) => String::new(),
        };
        format!("{steps}[policy]\nkind = \"{}\"\n{}\n", self.kind, self.keys)
    }

    /// Steps of the run.
    pub(crate) fn steps(&self) -> u64 {
        self.length.unwrap_or(STEPS)
    }
}

/// All kinds.
#[rustfmt::skip]
pub(crate) const CASES: &[Case] = &[
    case("one_cycle", "lr_max = 0.8", None, true),
    case("clr", "lr_min = 0.1\nlr_max = 0.5\nstep_size = 10", None, false),
    case("piecewise_constant", "values = [[0, 0.5], [\"50%\", 0.05]]", None, false),
    case("constant", "lr = 0.1", None, false),
    case("step", "lr = 0.1\nevery = 10", None, false),
    case("exponential", "lr = 0.1\ngamma = 0.9", None, false),
    case("polynomial", "lr = 0.1", None, false),
    case("cosine", "lr = 0.1", None, false),
    case("cosine_restarts", "lr = 0.1\nperiod = 10", None, false),
    case("linear", "lr = 0.1", None, false),
    case("warmup", "over = 5\nthen = { kind = \"one_cycle\", lr_max = 0.1 }", None, true),
    case("warmup_stable_decay", "lr = 0.1", None, false),
    case("flat_cosine", "lr = 0.1", None, false),
    case("trapezoid", "lr = 0.1", None, false),
    case("sequence", "parts = [{ span = 10, policy = { kind = \"linear\", lr = 0.1 } }, { policy = { kind = \"constant\", lr = 0.2 } }]", None, false),
    case("product", "of = [{ kind = \"linear\", lr = 0.1 }, { kind = \"cosine\", lr = 0.5 }]", None, false),
    case("torch_one_cycle", "max_lr = 0.1\ntotal_steps = 50", Some(50), true),
    case("torch_cyclic", "base_lr = 0.01\nmax_lr = 0.1\nstep_size_up = 8", None, true),
    case("torch_multi_step", "lr = 0.1\nmilestones = [10, 30]", None, false),
    case("torch_step", "lr = 0.1\nstep_size = 7", None, false),
    case("torch_exponential", "lr = 0.1\ngamma = 0.95", None, false),
    case("torch_cosine_annealing", "lr = 0.1\nT_max = 40", None, false),
    case("torch_cosine_annealing_warm_restarts", "lr = 0.1\nT_0 = 9", None, false),
    case("torch_linear", "lr = 0.1", None, false),
    case("torch_polynomial", "lr = 0.1\ntotal_iters = 40", None, false),
    case("torch_constant", "lr = 0.1", None, false),
    case("torch_sequential", "lr = 0.1\nschedulers = [{ kind = \"torch_linear\" }, { kind = \"torch_exponential\", gamma = 0.9 }]\nmilestones = [5]", None, false),
    case("torch_trapezoid", "lr = 0.1\nwarmup = 5\nstable = 20\ndecay = 15", None, false),
    case("optax_cosine_onecycle", "transition_steps = 50\npeak_value = 0.1", Some(50), false),
    case("optax_linear_onecycle", "transition_steps = 50\npeak_value = 0.1", Some(50), false),
    case("optax_warmup_cosine_decay", "init_value = 0.0\npeak_value = 0.1\nwarmup_steps = 5\ndecay_steps = 50", Some(50), false),
    case("optax_cosine_decay", "init_value = 0.1\ndecay_steps = 50", Some(50), false),
    case("optax_sgdr", "cosine_kwargs = [{ init_value = 0.0, peak_value = 0.1, warmup_steps = 2, decay_steps = 20 }, { init_value = 0.0, peak_value = 0.05, warmup_steps = 2, decay_steps = 30 }]", Some(50), false),
    case("optax_piecewise_constant", "init_value = 0.1\nboundaries_and_scales = [[10, 0.5]]", None, false),
    case("optax_piecewise_interpolate", "interpolate_type = \"linear\"\ninit_value = 0.1\nboundaries_and_scales = [[10, 0.5], [50, 0.1]]", Some(50), false),
    case("optax_polynomial", "init_value = 0.1\nend_value = 0.01\npower = 2\ntransition_steps = 50", Some(50), false),
    case("optax_linear", "init_value = 0.1\nend_value = 0.01\ntransition_steps = 50", Some(50), false),
    case("optax_exponential_decay", "init_value = 0.1\ntransition_steps = 10\ndecay_rate = 0.5", None, false),
    case("optax_join", "schedules = [{ kind = \"optax_constant\", value = 0.1 }, { kind = \"optax_constant\", value = 0.01 }]\nboundaries = [10]", None, false),
    case("optax_constant", "value = 0.1", None, false),
    case("fastai_one_cycle", "lr_max = 0.1", None, true),
    case("fastai_v1_one_cycle", "lr_max = 0.1", None, true),
    case("fastai_flat_cos", "lr = 0.1", None, false),
    case("fastai_sgdr", "n_cycles = 2\ncycle_len = 10\nlr_max = 0.1\ncycle_mult = 3", None, false),
    case("fastai_combined_cos", "pct = 0.3\nstart = 0.01\nmiddle = 0.1\nend = 0.0", None, false),
    case("fastai_combine_scheds", "pcts = [0.3, 0.7]\nscheds = [{ func = \"SchedLin\", args = { start = 0.01, end = 0.1 } }, { func = \"SchedCos\", args = { start = 0.1, end = 0.0 } }]", None, false),
];
