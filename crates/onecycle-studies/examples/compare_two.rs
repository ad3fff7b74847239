//! Compares two peak learning rates on a few images of Fashion-MNIST, with two seeds each.
//!
//! `cargo run --release -p onecycle-studies --example compare_two -- FOLDER`
//! (default: `compare-two` in the folder for temporary files)
//!
//! Run it twice: the second time it trains nothing and prints the same table.

use std::{error::Error, path::PathBuf};

use onecycle::OneCycle;
use onecycle_studies::compare::Comparison;
use onecycle_train::{Config, observer::Silent};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os()
        .nth(1)
        .map_or_else(|| std::env::temp_dir().join("compare-two"), PathBuf::from);

    let mut base = Config {
        model: "lenet5".to_owned(),
        epochs: Some(2.0),
        batch_size: 32,
        ..Config::default()
    };
    base.data.name = Some("fashion-mnist".to_owned());
    // A sample of the training images, a quarter of which measures the accuracy.
    base.data.limit = 800;
    base.data.validation = 0.25;

    let variants = [0.01, 0.1].map(|lr_max| {
        let mut config = base.clone();
        config.policy.preset = OneCycle::new(lr_max).into();
        (format!("lr-{lr_max}"), config)
    });
    let seeds = 2;
    let accuracies = [0.5];
    let comparison = Comparison::new(variants.into(), seeds, &accuracies)?;

    // `None` means that an observer asked to stop; `Silent` never does.
    let Some(result) = comparison.run(&folder, &mut Silent)? else {
        return Ok(());
    };
    print!("{}", result.table());
    for sentence in result.sentences() {
        println!("\n{sentence}");
    }
    println!("\n{}", folder.join("compare.html").display());
    Ok(())
}
