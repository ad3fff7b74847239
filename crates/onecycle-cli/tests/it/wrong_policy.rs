//! Impossible policies of every kind: the message names the key or the value.

use crate::common;
use crate::presets;

use common::{Place, Refusals};
use presets::CASES;
use toml::{Table, Value};

fn refused(place: &Place, refusals: &mut Refusals, text: &str, names: &[&str]) {
    place.write("policy.toml", text);
    let answer = place.onecycle(&["plan", "--config", "policy.toml", "--format", "csv"]);
    refusals.expect(&answer, names, text);
}

/// The numeric keys of the policy in a file, each with the whole table.
fn numbers(file: &str) -> Vec<(String, Table)> {
    let table: Table = file.parse().unwrap();
    let policy = table["policy"].as_table().unwrap();
    let is_number = |value: &Value| value.is_float() || value.is_integer();
    let keys = policy.iter().filter(|(_, value)| is_number(value));
    keys.map(|(key, _)| (key.clone(), table.clone())).collect()
}

fn with(table: &Table, key: &str, value: Value) -> String {
    let mut table = table.clone();
    let policy = table["policy"].as_table_mut().unwrap();
    policy.insert(key.to_owned(), value);
    table.to_string()
}

#[test]
fn every_kind_names_the_wrong_key() {
    let place = Place::new();
    let mut refusals = Refusals::default();
    for case in CASES {
        let file = case.file();
        let mut wrong = |text: &str, names: &[&str]| refused(&place, &mut refusals, text, names);
        wrong(&format!("{file}zzz = 1\n"), &["unknown key `policy.zzz`"]);
        let (before, _) = file.split_once("kind").unwrap();
        wrong(
            &format!("{before}kind = \"{}x\"\n", case.kind),
            &["policy.kind", case.kind],
        );
        for (key, table) in numbers(&file) {
            let named = format!("policy.{key}");
            wrong(
                &with(&table, &key, Value::String("x".into())),
                &[&named, "x"],
            );
            wrong(&with(&table, &key, Value::Boolean(true)), &[&named, "true"]);
            let (value, shown) = match table["policy"][&key].is_integer() {
                true => (Value::Integer(-1), "-1"),
                false => (Value::Float(f64::NAN), "NaN"),
            };
            wrong(&with(&table, &key, value), &[&key, shown]);
        }
    }
    refusals.end(300);
}

/// Policies that a kind forbids although their types are right, with words of the message.
#[rustfmt::skip]
const POLICIES: &[(&str, &[&str])] = &[
    ("kind = \"constant\"\nlr = -0.1", &["`lr`", "-0.1"]),
    ("kind = \"constant\"\nlr = inf", &["`lr`", "inf"]),
    ("kind = \"one_cycle\"\nlr_max = 0.1\nannihilation = \"200%\"", &["policy.annihilation", "200%"]),
    ("kind = \"one_cycle\"\nlr_max = 0.1\nannihilation = \"-3\"", &["annihilation", "-3"]),
    ("kind = \"one_cycle\"\nlr_max = 0.1\nlr_final = 1.0", &["lr_final"]),
    ("kind = \"one_cycle\"\nlr_max = 0.1\nmomentum = [0.9, 0.8, 0.7]", &["policy.momentum"]),
    ("kind = \"one_cycle\"\nlr_max = 0.1\nweight_decay = [[5, 0.1]]", &["weight_decay"]),
    ("kind = \"one_cycle\"\nlr_max = 0.1\nbatch_size = [[0, 64], [0, 128]]", &["batch_size"]),
    ("kind = \"one_cycle\"\nlr_max = 0.1\nat_end = \"bounce\"", &["policy.at_end", "hold, error, restart"]),
    ("kind = \"clr\"\nlr_min = 0.5\nlr_max = 0.1\nstep_size = 10", &["`lr_min`", "`lr_max`"]),
    ("kind = \"clr\"\nlr_min = 0.1\nlr_max = 0.5\nstep_size = 0", &["`step_size`"]),
    ("kind = \"clr\"\nlr_min = 0.1\nlr_max = 0.5\nstep_size = 10\nmode = \"saw\"", &["policy.mode", "saw"]),
    ("kind = \"piecewise_constant\"\nvalues = []", &["`values`"]),
    ("kind = \"piecewise_constant\"\nvalues = [[0, 0.1], [\"half\", 0.01]]", &["policy.values", "half"]),
    ("kind = \"piecewise_constant\"\nvalues = [[5, 0.1]]", &["`values`"]),
    ("kind = \"piecewise_constant\"\nvalues = [[0, 0.1], [0, 0.01]]", &["`values`"]),
    ("kind = \"step\"\nlr = 0.1\nevery = 0", &["`every`"]),
    ("kind = \"exponential\"\nlr = 0.1", &["`gamma`"]),
    ("kind = \"exponential\"\nlr = 0.1\ngamma = 0.9\nlr_final = 0.01", &["`gamma`", "`lr_final`"]),
    ("kind = \"polynomial\"\nlr = 0.1\npower = -1.0", &["`power`", "-1"]),
    ("kind = \"cosine_restarts\"\nlr = 0.1\nperiod = 10\nperiod_mult = 0", &["`period_mult`"]),
    ("kind = \"warmup_stable_decay\"\nlr = 0.1\nwarmup = \"80%\"\ndecay = \"80%\"", &["decay"]),
    ("kind = \"trapezoid\"\nlr = 0.1\nwarmup = 1000", &["`warmup` = 1000"]),
    ("kind = \"warmup\"\nover = 1000\nthen = { kind = \"constant\", lr = 0.1 }", &["`over` = 1000"]),
    ("kind = \"warmup\"\nover = 5\nthen = { kind = \"nothing\" }", &["policy.then.kind"]),
    ("kind = \"warmup\"\nover = 5\nthen = 3", &["policy.then = 3"]),
    ("kind = \"sequence\"\nparts = []", &["`parts`"]),
    ("kind = \"sequence\"\nparts = [{ policy = { kind = \"constant\", lr = 1 } }, { policy = { kind = \"constant\", lr = 1 } }]", &["span"]),
    ("kind = \"product\"\nof = []", &["`of`"]),
    ("kind = \"torch_cosine_annealing\"\nlr = 0.1\nt_max = 10", &["policy.t_max", "policy.T_max"]),
    ("kind = \"torch_sequential\"\nlr = 0.1\nschedulers = []\nmilestones = []", &["schedulers"]),
    ("kind = \"optax_sgdr\"\ncosine_kwargs = []", &["cosine_kwargs"]),
    ("kind = \"fastai_one_cycle\"\nlr_max = 0.1\npct_start = 1.5", &["`pct_start`", "1.5"]),
    ("kind = \"fastai_combine_scheds\"\npcts = [0.5, 0.6]\nscheds = []", &["`scheds`", "2"]),
    ("kind = 3", &["policy.kind = 3"]),
    ("lr_max = [1]", &["policy.lr_max"]),
    ("lr_max = { a = 1 }", &["policy.lr_max"]),
    ("lr_max = 2026-01-01", &["policy.lr_max"]),
    ("lr_max = 1e400", &["policy.toml, line 3", "overflow"]),
];

#[test]
fn every_kind_refuses_impossible_values() {
    let place = Place::new();
    let mut refusals = Refusals::default();
    for (policy, names) in POLICIES {
        let text = format!("steps = 100\n[policy]\n{policy}\n");
        refused(&place, &mut refusals, &text, names);
    }
    refusals.end(POLICIES.len());
}
