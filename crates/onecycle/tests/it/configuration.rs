//! Policies from configuration files: TOML input, resulting plans, and error messages.

use onecycle::{
    AtEnd, BatchSizes, Curve, LegShape, Momentum, OneCycle, Plan, Policy, PolicyError, Preset, Run,
    Span,
};

fn preset(text: &str) -> Result<Preset, toml::de::Error> {
    toml::from_str(text)
}

fn policy(text: &str) -> Policy {
    Policy::from_preset(preset(text).unwrap()).unwrap()
}

#[test]
fn gugger_s_schedule_has_its_published_values() {
    let policy = policy(
        r#"
        kind = "one_cycle"
        lr_max = 0.8
        lr_min = 0.08
        lr_final = 0.0008
        annihilation = "13ep"
        momentum = [0.95, 0.85]
        "#,
    );
    let plan = policy.resolve(&Run::epochs(95.0, 50_000, 512)).unwrap();
    assert_eq!(plan.steps(), 9310);

    // 41 + 41 + 13 epochs of 98 steps. Computed by hand: a linear leg of 0.72 over 4018 steps.
    let by_hand = [
        (0, 0.08, 0.95),
        (1, 0.08 + 0.72 / 4018.0, 0.95 - 0.1 / 4018.0),
        (2009, 0.44, 0.9),
        (4017, 0.8 - 0.72 / 4018.0, 0.85 + 0.1 / 4018.0),
        (4018, 0.8, 0.85),
        (6027, 0.44, 0.9),
        (8036, 0.08, 0.95),
        // 637 of the 1273 steps from 0.08 to 0.0008.
        (8673, 0.08 - 0.0792 * 637.0 / 1273.0, 0.95),
        (9309, 0.0008, 0.95),
        (9310, 0.0008, 0.95),
    ];
    for (step, lr, momentum) in by_hand {
        let hyper = plan.at(step);
        assert!(
            (hyper.lr - lr).abs() < 1e-15,
            "{step}: {} for {lr}",
            hyper.lr
        );
        assert!((hyper.momentum.unwrap() - momentum).abs() < 1e-15, "{step}");
    }
    for (step, exact) in [(0, 0.08), (4018, 0.8), (8036, 0.08), (9309, 0.0008)] {
        assert_eq!(plan.at(step).lr, exact, "{step}");
    }
    let phases: Vec<_> = plan
        .phases()
        .into_iter()
        .map(|p| (p.name, p.first_step, p.last_step))
        .collect();
    let named = [
        ("up", 0, 4017),
        ("down", 4018, 8035),
        ("annihilation", 8036, 9309),
    ];
    assert_eq!(
        phases,
        named.map(|(name, first, last)| (name.to_owned(), first, last))
    );
}

#[test]
fn all_forms_of_momentum_are_read() {
    let momentum = |form: &str| {
        let preset = preset(&format!(
            "kind = \"one_cycle\"\nlr_max = 1\nmomentum = {form}"
        ));
        preset.map(|preset| match preset {
            Preset::OneCycle(OneCycle { momentum, .. }) => momentum,
            other => panic!("{other:?}"),
        })
    };
    assert_eq!(
        momentum("[0.95, 0.8]").unwrap(),
        Momentum::Cycle {
            high: 0.95,
            low: 0.8
        }
    );
    assert_eq!(momentum("0.9").unwrap(), Momentum::Constant(0.9));
    assert_eq!(momentum("0").unwrap(), Momentum::Constant(0.0));
    assert_eq!(momentum("\"none\"").unwrap(), Momentum::Unset);
    let error = momentum("\"some\"").unwrap_err().to_string();
    assert!(
        error.contains("\"some\"") && error.contains("[high, low]"),
        "{error}"
    );
    assert!(momentum("[0.9]").is_err());
}

#[test]
fn all_forms_of_spans_are_read() {
    let span = |form: &str| {
        let preset = preset(&format!(
            "kind = \"one_cycle\"\nlr_max = 1\nannihilation = {form}"
        ));
        preset.map(|preset| match preset {
            Preset::OneCycle(OneCycle { annihilation, .. }) => annihilation,
            other => panic!("{other:?}"),
        })
    };
    assert_eq!(span("\"13ep\"").unwrap(), Span::Epochs(13.0));
    assert_eq!(span("500").unwrap(), Span::Steps(500));
    assert_eq!(span("0.15").unwrap(), Span::Fraction(0.15));
    assert_eq!(span("\"15%\"").unwrap(), Span::Fraction(0.15));
    assert_eq!(span("\"50000sa\"").unwrap(), Span::Samples(50_000));
    for wrong in ["-1", "1.5", "\"13 hours\"", "true"] {
        let error = span(wrong).unwrap_err().to_string();
        assert!(error.contains("13ep"), "{error}");
    }
}

#[test]
fn all_forms_of_curves_are_read() {
    let curve = |form: &str| -> Curve {
        let table: toml::Table = toml::from_str(&format!("track = {form}")).unwrap();
        table["track"].clone().try_into().unwrap()
    };
    assert_eq!(curve("1e-4"), Curve::Constant(1e-4));
    assert_eq!(
        curve("[[\"0ep\", 1e-4], [\"10ep\", 5e-4]]"),
        Curve::Piecewise(vec![(Span::Epochs(0.0), 1e-4), (Span::Epochs(10.0), 5e-4)])
    );
    assert_eq!(
        curve("{ curve = \"ramp\", from = 1e-3, to = 0 }"),
        Curve::linear(1e-3, 0.0)
    );
    assert_eq!(
        curve("{ curve = \"ramp\", from = 1, to = 0, shape = { polynomial = 2 } }"),
        Curve::polynomial(1.0, 0.0, 2.0)
    );
    let sequence = "{ curve = \"sequence\", parts = [[\"5ep\", 1e-3], [\"50%\", { curve = \"ramp\", from = 1, to = 0 }]] }";
    assert_eq!(
        curve(sequence),
        Curve::sequence([
            (Span::Epochs(5.0), Curve::Constant(1e-3)),
            (Span::Fraction(0.5), Curve::linear(1.0, 0.0)),
        ])
    );

    let table: toml::Table =
        toml::from_str("a = 128\nb = [[\"0ep\", 64], [\"2ep\", 256]]\nc = 1.5").unwrap();
    assert_eq!(table["a"].clone().try_into(), Ok(BatchSizes::Constant(128)));
    let sizes = BatchSizes::Piecewise(vec![(Span::Epochs(0.0), 64), (Span::Epochs(2.0), 256)]);
    assert_eq!(table["b"].clone().try_into(), Ok(sizes));
    assert!(table["c"].clone().try_into::<BatchSizes>().is_err());
}

#[test]
fn presets_nest() {
    let policy = policy(
        r#"
        kind = "warmup"
        over = "2ep"
        start_factor = 0.0
        [then]
        kind = "sequence"
        parts = [
            { span = "3ep", policy = { kind = "constant", lr = 0.4 } },
            { policy = { kind = "product", of = [ { kind = "linear", lr = 0.4 }, { kind = "constant", lr = 0.5 } ] } },
        ]
        "#,
    );
    let plan = policy
        .resolve(&Run::steps(100).with_steps_per_epoch(10))
        .unwrap();
    assert_eq!(
        [0, 10, 20, 49, 50, 99].map(|n| plan.at(n).lr),
        [0.0, 0.2, 0.4, 0.4, 0.2, 0.0]
    );
}

/// A clone with a length of its own holds its last value after it, also as a part of a sequence,
/// and must fit into its part.
#[test]
fn a_clone_can_be_a_part_of_a_sequence() {
    let text = r#"
        kind = "sequence"
        parts = [
            { span = 30, policy = { kind = "torch_one_cycle", max_lr = 0.5, total_steps = 20, anneal_strategy = "linear" } },
            { policy = { kind = "constant", lr = 0.1 } },
        ]
    "#;
    let plan = policy(text).resolve(&Run::steps(40)).unwrap();
    assert_eq!(plan.at(29), plan.at(19));
    assert_eq!(plan.at(30).lr, 0.1);
    let short = policy(&text.replace("span = 30", "span = 19"));
    let error = short.resolve(&Run::steps(40)).unwrap_err().to_string();
    assert!(
        error.contains("20 steps long") && error.contains("only 19"),
        "{error}"
    );
}

#[test]
fn warmup_scales_by_the_batch_size() {
    let lr = |scaling: &str, batch_size| {
        let text = format!(
            "kind = \"warmup\"\nover = 10\nscaling = \"{scaling}\"\nreference_batch = 64\nthen = {{ kind = \"constant\", lr = 0.1 }}"
        );
        let plan = policy(&text)
            .resolve(&Run::epochs(2.0, 10_240, batch_size))
            .unwrap();
        [0, 5, 10].map(|n| format!("{:.3}", plan.at(n).lr))
    };
    assert_eq!(lr("none", 256), ["0.010", "0.055", "0.100"]);
    // Starts at the unscaled rate, as in Goyal et al.
    assert_eq!(lr("linear", 256), ["0.100", "0.250", "0.400"]);
    assert_eq!(lr("sqrt", 256), ["0.100", "0.150", "0.200"]);
    // Smaller batches scale the rate down.
    assert_eq!(lr("linear", 32), ["0.005", "0.028", "0.050"]);
    let unknown = policy(
        "kind = \"warmup\"\nover = 1\nscaling = \"linear\"\nreference_batch = 64\nthen = { kind = \"constant\", lr = 0.1 }",
    );
    let error = unknown.resolve(&Run::steps(10)).unwrap_err().to_string();
    assert!(error.contains("`batch_size` is missing"), "{error}");
}

#[test]
fn errors_in_files_name_the_parameter() {
    let cases = [
        ("lr_max = 0.8", "kind"),
        ("kind = \"one_cycel\"", "one_cycel"),
        (
            "kind = \"one_cycle\"\nlr_max = 0.8\nlr_mni = 0.08",
            "lr_mni",
        ),
        ("kind = \"one_cycle\"", "lr_max"),
        ("kind = \"one_cycle\"\nlr_max = \"high\"", "high"),
    ];
    for (text, expected) in cases {
        let error = preset(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
    let invalid = [
        (
            "lr_max = 0.8\nlr_min = 0.9",
            "`lr_min` = 0.9 is above `lr_max` = 0.8",
        ),
        (
            "lr_max = 0.8\nlr_min = 0.1\ndiv = 5",
            "`lr_min` and `div` are mutually exclusive",
        ),
        ("lr_max = nan", "`lr_max` is NaN"),
        ("lr_max = inf", "`lr_max` is inf"),
        ("lr_max = -1", "`lr_max` is -1"),
        ("lr_max = 1\nmomentum = 1.5", "`momentum` is 1.5"),
        (
            "lr_max = 1\nmomentum = [0.8, 0.9]",
            "`low momentum` = 0.9 is above `high momentum` = 0.8",
        ),
        ("lr_max = 1\nannihilation = 1.0", "`annihilation` is 1"),
    ];
    for (text, expected) in invalid {
        let preset = preset(&format!("kind = \"one_cycle\"\n{text}")).unwrap();
        let error = Policy::from_preset(preset).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn errors_of_runs_name_the_span() {
    let policy = policy("kind = \"one_cycle\"\nlr_max = 0.8\nannihilation = \"13ep\"");
    let error = |run: Run| policy.resolve(&run).unwrap_err().to_string();
    assert!(error(Run::steps(0)).contains("0 steps"));
    assert!(error(Run::steps(1000)).contains("`annihilation` = 13ep cannot be converted to steps"));
    assert!(
        error(Run::epochs(13.0, 1000, 100)).contains("`annihilation` = 13ep is 130 steps long")
    );
    let fraction = r#"{"length": 0.5, "samples": 1000, "batch_size": 10}"#;
    assert!(error(serde_json::from_str(fraction).unwrap()).contains("`length` = 50%"));
    assert!(error(Run::epochs(14.0, 1000, 0)).contains("`batch_size` is 0"));
    assert!(error(Run::epochs(-1.0, 1000, 10)).contains("`epochs` is -1"));
    assert!(error(Run::epochs(1.0, 100, 200).drop_last(true)).contains("200 never fills from 100"));

    let torch = preset("kind = \"torch_one_cycle\"\nmax_lr = 0.1\ntotal_steps = 100").unwrap();
    let torch = Policy::from_preset(torch).unwrap();
    let short = torch.resolve(&Run::steps(99)).unwrap_err().to_string();
    assert!(short.contains("100 steps long"), "{short}");
    assert_eq!(torch.length(), Some(100));
}

#[test]
fn a_plan_round_trips_through_json_and_toml() {
    let policy =
        policy("kind = \"one_cycle\"\nlr_max = 0.7\nannihilation = 0.07\nshape = \"cosine\"")
            .with_weight_decay(Curve::Piecewise(vec![
                (Span::Steps(0), 1e-4),
                (Span::Fraction(0.1), 3e-4),
            ]))
            .unwrap()
            .with_batch_size(BatchSizes::Piecewise(vec![
                (Span::Epochs(0.0), 64),
                (Span::Epochs(1.5), 100),
            ]))
            .unwrap()
            .at_end(AtEnd::Restart);
    let plan = policy.resolve(&Run::epochs(3.0, 1000, 64)).unwrap();
    let json = serde_json::to_string(&plan).unwrap();
    let text = toml::to_string(&plan).unwrap();
    for again in [
        serde_json::from_str::<Plan>(&json).unwrap(),
        toml::from_str(&text).unwrap(),
    ] {
        assert_eq!(again, plan);
        for step in 0..2 * plan.steps() {
            assert_eq!(again.at(step), plan.at(step), "{step}");
        }
    }
    // A modified file is checked like any other.
    let wrong = json.replace("0.7", "-0.7");
    assert!(
        serde_json::from_str::<Plan>(&wrong)
            .unwrap_err()
            .to_string()
            .contains("-0.7")
    );
}

/// A chain of builder methods gives the same plan as fields and checked steps, in any order.
#[test]
fn a_builder_gives_the_policy_of_its_parts() {
    let run = Run::epochs(10, 1000_usize, 10_u32);
    let fields = OneCycle {
        lr_min: Some(0.05),
        lr_final: Some(0.001),
        annihilation: Span::Epochs(2.0),
        momentum: Momentum::Cycle {
            high: 0.9,
            low: 0.8,
        },
        shape: LegShape::Cosine,
        ..OneCycle::new(0.5)
    };
    let parts = (fields.policy().unwrap())
        .with_weight_decay(1e-4)
        .unwrap()
        .with_batch_size(20_u64)
        .unwrap()
        .at_end(AtEnd::Restart);
    let chain = OneCycle::new(0.5)
        .lr_min(0.05)
        .shape(LegShape::Cosine)
        .weight_decay(1e-4)
        .momentum(0.9, 0.8)
        .lr_final(0.001)
        .at_end(AtEnd::Restart)
        .batch_size(20)
        .annihilation(Span::Epochs(2.0));
    assert_eq!(chain.clone().policy().unwrap(), parts);
    assert_eq!(chain.plan(&run).unwrap(), parts.resolve(&run).unwrap());
    let constant = OneCycle::new(0.5).div(20.0).momentum_curve(0.9);
    let plan = constant.without_momentum().plan(&run).unwrap();
    assert_eq!((plan.at(0).lr, plan.at(450).momentum), (0.025, Some(0.9)));
}

#[test]
fn a_builder_reports_the_first_wrong_parameter() {
    let run = Run::steps(100);
    let error = |plan: Result<Plan, PolicyError>| plan.unwrap_err().to_string();
    let wrong = OneCycle::new(0.5).weight_decay(-1.0).div(0.5);
    assert!(error(wrong.plan(&run)).contains("`div` is 0.5"));
    let wrong = OneCycle::new(0.5).weight_decay(-1.0);
    assert!(error(wrong.plan(&run)).contains("`weight_decay` is -1"));
    let wrong = OneCycle::new(0.5).batch_size(0);
    assert!(error(wrong.plan(&run)).contains("`batch_size` is 0"));
    assert!(error(OneCycle::new(0.5).plan(&Run::steps(-3))).contains("0 steps"));
}

#[test]
fn epochs_follow_the_batch_size() {
    let sizes = BatchSizes::Piecewise(vec![(Span::Epochs(0.0), 64), (Span::Epochs(1.5), 100)]);
    let policy = policy("kind = \"piecewise_constant\"\nvalues = [[\"0ep\", 0.3], [\"2ep\", 0.2], [\"2500sa\", 0.1]]")
        .with_batch_size(sizes)
        .unwrap();
    let plan = policy.resolve(&Run::epochs(3.0, 1000, 64)).unwrap();
    // An epoch is 16 steps of 64 samples. After 24 steps half an epoch is left: 5 steps of 100
    // samples; later an epoch is 10 steps.
    assert_eq!(plan.steps(), 24 + 5 + 10);
    assert_eq!(
        [23, 24].map(|n| plan.at(n).batch_size),
        [Some(64), Some(100)]
    );
    assert_eq!([28, 29].map(|n| plan.at(n).lr), [0.3, 0.2]);
    assert_eq!([33, 34].map(|n| plan.at(n).lr), [0.2, 0.1]);
    assert_eq!(plan.epoch_at(24), Some(1.5));
    assert_eq!(plan.epoch_at(39), Some(3.0));
}
