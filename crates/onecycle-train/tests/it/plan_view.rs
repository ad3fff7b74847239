//! Views of a plan show what a training would use.

use onecycle::{OneCycle, Plan, Run};
use onecycle_plot::terminal::Charset;
use onecycle_train::plan_view::PlanView;

fn plan() -> Plan {
    OneCycle::new(0.8)
        .policy()
        .unwrap()
        .resolve(&Run::steps(1000))
        .unwrap()
}

#[test]
fn json_and_csv_have_every_step() {
    let plan = plan();
    let view = PlanView::new(&plan);
    let json: serde_json::Value = serde_json::from_str(&view.json().unwrap()).unwrap();
    let csv = view.csv();
    let rows: Vec<Vec<&str>> = csv
        .lines()
        .skip(1)
        .map(|line| line.split(',').collect())
        .collect();
    assert_eq!(json["steps"], plan.steps());
    assert_eq!(rows.len() as u64, plan.steps());
    for (i, row) in rows.iter().enumerate() {
        let hyper = plan.at(i as u64);
        assert_eq!(json["lr"][i].as_f64(), Some(hyper.lr));
        assert_eq!(json["momentum"][i].as_f64(), hyper.momentum);
        assert_eq!(row[0], i.to_string());
        assert_eq!(row[1].parse(), Ok(hyper.lr));
        assert_eq!(row[2].parse().ok(), hyper.momentum);
    }
    assert!(json["weight_decay"].is_null());
}

#[test]
fn each_phase_ends_where_the_next_begins() {
    let plan = plan();
    let view = PlanView::new(&plan);
    let phases = view.phases();
    assert_eq!(phases.len(), 3);
    for (phase, next) in phases.iter().zip(&phases[1..]) {
        assert_eq!(phase.last_step + 1, next.first_step);
        assert_eq!(
            (phase.to.lr, phase.to.momentum),
            (next.from.lr, next.from.momentum)
        );
    }
    assert_eq!(phases[2].last_step, plan.steps() - 1);
    let table = view.table();
    assert_eq!(table.lines().count(), 4);
    assert!(
        table.contains("0.08 → 0.8") && table.contains("0.95 → 0.85"),
        "\n{table}"
    );
}

#[test]
fn figure_and_terminal_show_lr_and_momentum() {
    let view = PlanView::new(&plan());
    let figure = view.figure();
    assert_eq!(figure.marks.len(), 3);
    assert!(figure.right.is_some());
    assert_eq!(figure.csv().unwrap().lines().count(), 1 + 2 * 1000);
    assert!(!figure.png().unwrap().is_empty());
    for charset in [Charset::Braille, Charset::Ascii] {
        let text = view.terminal(80, 24, charset);
        for wanted in ["learning rate", "momentum", "0.8 ", "0.95 ", "0.85 ", "999"] {
            assert!(text.contains(wanted), "no {wanted}:\n{text}");
        }
        assert!(text.is_ascii() == (charset == Charset::Ascii), "\n{text}");
    }
}
