//! Wrong input gives one message that names the key, file or value, a non-zero exit code, and no
//! half-written files.

use crate::common;

use std::fs;

use common::{Answer, Place, Refusals};

/// Asserts a single refusal.
fn refused(answer: &Answer, names: &[&str], what: &str) {
    let mut refusals = Refusals::default();
    refusals.expect(answer, names, what);
    refusals.end(1);
}

/// Configuration files, each with the words that the message must contain.
#[rustfmt::skip]
const FILES: &[(&str, &[&str])] = &[
    // Unknown keys and names.
    ("lr = 0.1", &["unknown key `lr`"]),
    ("batchsize = 64", &["unknown key `batchsize`", "did you mean `batch_size`"]),
    ("lr_max = 0.1", &["unknown key `lr_max`", "did you mean `policy.lr_max`"]),
    ("[data]\nlimt = 3", &["unknown key `data.limt`", "did you mean `data.limit`"]),
    ("[augment]\nflipp = true", &["`augment.flipp`", "`augment.flip`"]),
    ("[policy]\nlr_maximum = 1.0", &["`policy.lr_maximum`", "lr_max"]),
    ("[policy]\nkind = \"constant\"\nlr_max = 1.0", &["`policy.lr_max`", "expected one of lr"]),
    ("[optimizer]\nkind = \"adamw\"\nbeta3 = 0.9", &["`optimizer.beta3`", "did you mean `optimizer.beta"]),
    ("[policy]\nkind = \"onecycle\"", &["policy.kind = \"onecycle\"", "did you mean \"one_cycle\"?"]),
    ("[optimizer]\nkind = \"sdg\"", &["optimizer.kind = \"sdg\"", "expected one of sgd, adam"]),
    ("model = \"resnet19\"", &["resnet19", "resnet-small"]),
    ("device = \"gpu\"", &["device = \"gpu\"", "cpu, cuda, wgpu"]),
    ("[data]\nname = \"imagenet\"", &["imagenet", "fashion-mnist"]),
    ("[augment]\nborder = \"mirror\"", &["augment.border = \"mirror\"", "reflect"]),
    // Wrong types.
    ("seed = \"one\"", &["seed = \"one\"", "a whole number"]),
    ("seed = -1", &["seed = -1"]),
    ("seed = 1.5", &["seed = 1.5", "a whole number"]),
    ("epochs = \"five\"", &["epochs = \"five\"", "a number"]),
    ("batch_size = -3", &["batch_size = -3"]),
    ("model = 3", &["model = 3"]),
    ("policy = \"one_cycle\"", &["policy = \"one_cycle\"", "table"]),
    ("data = \"mnist\"", &["data = \"mnist\"", "table"]),
    ("[data]\nlimit = -1", &["data.limit = -1"]),
    ("[policy]\nlr_max = \"high\"", &["policy.lr_max = \"high\"", "a number"]),
    ("[policy]\nannihilation = \"13 epochs\"", &["policy.annihilation", "13 epochs", "13ep"]),
    ("[policy]\nmomentum = [0.95]", &["policy.momentum"]),
    ("[policy]\nbatch_size = [[\"0ep\", \"x\"]]", &["policy.batch_size"]),
    // Values out of range.
    ("epochs = nan", &["epochs = NaN", "above 0"]),
    ("epochs = inf", &["epochs = inf"]),
    ("epochs = 0", &["epochs = 0", "above 0"]),
    ("epochs = -2.5", &["epochs = -2.5"]),
    ("steps = 0", &["steps = 0", "at least 1"]),
    ("steps = 100000000000", &["steps = 100000000000", "at most"]),
    ("batch_size = 0", &["batch_size = 0"]),
    ("eval_batch_size = 0", &["eval_batch_size = 0"]),
    ("eval_every = 0", &["eval_every = 0", "at least 1"]),
    ("label_smoothing = 1.0", &["label_smoothing = 1", "below 1"]),
    ("label_smoothing = nan", &["label_smoothing = NaN"]),
    ("threads = 100000", &["threads = 100000"]),
    ("[data]\nvalidation = 1.0", &["data.validation = 1"]),
    ("[data]\nvalidation = -0.5", &["data.validation = -0.5"]),
    ("[data]\nimage_size = 0", &["data.image_size = 0"]),
    ("[data]\nlimit = 1\nvalidation = 0.5", &["validation"]),
    ("[augment]\npad = 100", &["augment.pad", "100"]),
    ("[augment]\ncutout = 29", &["augment.cutout", "29"]),
    ("[augment]\nerase_probability = 2.0", &["augment.erase_probability"]),
    ("[policy]\nlr_max = -0.1", &["`lr_max`", "-0.1"]),
    ("[policy]\nlr_max = 0.0", &["`lr_max`"]),
    ("[policy]\nlr_max = nan", &["`lr_max`", "NaN"]),
    ("[policy]\nlr_min = 3.0", &["`lr_min` = 3", "`lr_max`"]),
    ("[policy]\nlr_min = 0.01\ndiv = 25.0", &["`lr_min`", "`div`"]),
    ("[policy]\nmomentum = 1.5", &["`momentum`", "1.5"]),
    ("[policy]\nmomentum = [0.85, 0.95]", &["momentum", "0.95"]),
    ("[policy]\nannihilation = \"6ep\"", &["`annihilation` = 6ep", "2345"]),
    ("[policy]\nannihilation = 1.0", &["`annihilation`"]),
    ("[policy]\nbatch_size = 0", &["`batch_size`"]),
    ("[policy]\nbatch_size = [[\"1ep\", 64]]", &["`batch_size`"]),
    ("[policy]\nweight_decay = -1.0", &["`weight_decay`", "-1"]),
    ("[policy]\nkind = \"torch_one_cycle\"\nmax_lr = 0.1", &["total_steps"]),
    ("[policy]\nkind = \"torch_step\"\nlr = 0.1", &["policy.step_size is missing", "torch_step"]),
    ("[policy]\nkind = \"torch_step\"\nstep_size = 5", &["`lr`"]),
    ("[policy]\nkind = \"warmup\"\nover = 5\nthen = { kind = \"constant\", lr = \"x\" }", &["policy.then.lr = \"x\""]),
    ("[optimizer]\nmomentum = 1.5", &["momentum", "1.5"]),
    ("[optimizer]\nweight_decay = -0.1", &["weight_decay", "-0.1"]),
    ("[optimizer]\nclip_norm = 0.0", &["clip_norm", "0"]),
    ("[optimizer]\nnesterov = true\ndampening = 0.5", &["nesterov", "dampening"]),
    ("[optimizer]\nkind = \"adam\"\nbeta2 = 1.0", &["beta2", "1"]),
    ("[optimizer]\ngroups = [{ select = { prefix = \"fc\" }, lr = -1.0 }]", &["groups.lr", "-1"]),
    ("on_divergence = \"pray\"", &["on_divergence = \"pray\"", "one of stop, retry"]),
    ("on_divergence = true", &["on_divergence = true"]),
    ("checkpoint_steps = -1", &["checkpoint_steps = -1"]),
    ("[data]\nimage_size = 100000", &["data.image_size = 100000", "1 to 1024"]),
    ("[augment]\npad = -1", &["augment.pad = -1"]),
    ("[augment]\nflip = \"yes\"", &["augment.flip = \"yes\"", "true or false, or \"alternating\""]),
    ("[augment]\nresized_crop_area = [0.0, 1.0]", &["`augment.resized_crop_area` is [0, 1]", "0 < low"]),
    ("[augment]\nrotate = 200", &["`augment.rotate` is 200", "0 to 180"]),
    ("[augment]\nrotate_fill = \"black\"", &["augment.rotate_fill = \"black\"", "one of mean, edge"]),
    ("[augment]\nhue = 0.1", &["`augment.hue` is 0.1", "the images are grey"]),
    ("[augment]\nmixup = -0.5", &["`augment.mixup` is -0.5", "beta distribution"]),
    ("model = \"mlp\"\n[policy]\nimage_size = 16", &["policy.image_size = 16", "instead of mlp: one of convnet"]),
    ("[policy]\nimage_size = 29", &["policy.image_size = 29", "4 to 28 pixels"]),
    ("[optimizer]\nkind = \"adamw\"\nbeta1 = -0.1", &["beta1", "-0.1"]),
    ("[optimizer]\nkind = \"rmsprop\"\nalpha = 1.0", &["alpha", "1"]),
    ("[optimizer]\nkind = \"adam\"\nepsilon = -1e-8", &["eps"]),
    ("seed = 99999999999999999999", &["wrong.toml, line 1"]),
    // Contradictions.
    ("epochs = 1\nsteps = 10", &["`epochs`", "`steps`"]),
    ("[data]\nname = \"mnist\"\npath = \"photos\"", &["`data.name`", "`data.path`"]),
    ("steps = 50\n[policy]\nkind = \"torch_one_cycle\"\nmax_lr = 0.1\ntotal_steps = 100", &["100", "50"]),
    // Without effect.
    ("steps = 150\n[policy]\nkind = \"torch_one_cycle\"\nmax_lr = 0.1\ntotal_steps = 100", &["policy.total_steps = 100", "150 steps"]),
    ("[optimizer]\ngroups = [{ select = { prefix = \"encoder\" }, lr = 0.1 }]", &["optimizer.groups[0].select", "encoder", "begin with"]),
    // Missing or empty data.
    ("[data]\npath = \"nowhere\"", &["nowhere"]),
    ("[data]\npath = \"empty\"", &["empty"]),
    ("[data]\npath = \"wrong.toml\"", &["wrong.toml"]),
    // Not TOML.
    ("seed = 1\nepochs", &["wrong.toml, line 2"]),
    ("[policy\n", &["wrong.toml, line 1"]),
    ("\u{0}\u{1}\u{2}", &["wrong.toml, line 1"]),
    ("seed = \"", &["wrong.toml, line 1"]),
    ("\"two\\nlines\" = 1", &["unknown key `two\\nlines`"]),
    ("model = \"a\\u001b[31mb\\nc\"", &["a\\u{1b}[31mb\\nc"]),
    ("[[policy]]\nlr_max = 1.0", &["policy"]),
    ("seed = 1\nseed = 2", &["wrong.toml, line 2", "duplicate key"]),
];

#[test]
fn configuration_files() {
    let place = Place::new();
    fs::create_dir(place.path("empty")).unwrap();
    let mut refusals = Refusals::default();
    for (text, names) in FILES {
        place.write("wrong.toml", text);
        let answer = place.onecycle(&["train", "--config", "wrong.toml", "--out", "run"]);
        refusals.expect(&answer, names, text);
        refusals.expect_none(&place.path("run"), text);
    }
    refusals.end(90);
}

#[cfg(not(feature = "cuda"))]
#[test]
fn a_device_without_its_feature() {
    let place = Place::new();
    let answer = place.onecycle(&["train", "--device", "cuda", "--out", "run"]);
    refused(&answer, &["`cuda`", "--features cuda"], "cuda");
    assert!(!place.path("run").exists());
}

#[test]
fn flags_and_settings() {
    let place = Place::new();
    place.write("not-text.toml", b"\xff\xfe\x00");
    fs::create_dir(place.path("folder")).unwrap();
    let cases: &[(&[&str], &[&str])] = &[
        (&["--set", "foo"], &["--set = foo", "KEY=VALUE"]),
        (&["--set", "=1"], &["--set", "=1"]),
        (&["--set", "policy..lr_max=1"], &["--set", "policy..lr_max"]),
        (
            &["--set", "polcy.lr_max=1"],
            &["unknown key `polcy`", "did you mean `policy`"],
        ),
        (&["--set", "seed.x=1"], &["seed"]),
        (&["--epochs=-1"], &["epochs = -1"]),
        (&["--epochs", "-3"], &["epochs = -3"]),
        (&["--lr-max", "-0.1"], &["lr_max"]),
        (&["--epochs", "many"], &["epochs = \"many\""]),
        (&["--epochs", "1e30"], &["epochs", "at most"]),
        (&["--steps", "1e3"], &["steps = 1000.0", "a whole number"]),
        (&["--batch-size", "0"], &["batch_size = 0"]),
        (&["--lr-max", "0"], &["lr_max"]),
        (&["--lr-max", "abc"], &["policy.lr_max = \"abc\""]),
        (&["--weight-decay", "nan"], &["weight_decay"]),
        (&["--model", "lenet"], &["lenet", "lenet5"]),
        (&["--model", "7"], &["7", "lenet5"]),
        (&["--data", "nope"], &["nope", "fashion-mnist"]),
        (&["--data", "photos/nope"], &["photos/nope"]),
        (&["--data", "2024"], &["2024"]),
        (&["--threads", "many"], &["threads = \"many\""]),
        (
            &["--on-divergence", "hope"],
            &["on_divergence = \"hope\"", "one of stop, retry"],
        ),
        (&["--accept-changes"], &["--accept-changes", "--resume"]),
        (&["--data", ""], &["data.path = \"\""]),
        (&["--config", "nothing.toml"], &["nothing.toml"]),
        (&["--config", "folder"], &["folder"]),
        (&["--config", "not-text.toml"], &["not-text.toml"]),
    ];
    let mut refusals = Refusals::default();
    for (args, names) in cases {
        let all = [&["train", "--out", "run"], *args].concat();
        let what = format!("{args:?}");
        refusals.expect(&place.onecycle(&all), names, &what);
        refusals.expect_none(&place.path("run"), &what);
    }
    refusals.end(26);
}

#[test]
fn folders_of_runs() {
    let place = Place::new();
    let tiny = [
        "--model", "lenet5", "--limit", "64", "--steps", "1", "-q", "--out",
    ];
    let train = |out| [&["train"], &tiny[..], &[out]].concat();
    place.succeed(&train("run"));
    let before = place.read("run/model.safetensors");
    refused(
        &place.onecycle(&train("run")),
        &["run", "--resume", "--out"],
        "onto a run",
    );
    assert!(place.read("run/model.safetensors") == before);

    place.write("file", "text");
    refused(&place.onecycle(&train("file")), &["file"], "onto a file");
    assert_eq!(place.text("file"), "text");

    fs::create_dir(place.path("empty")).unwrap();
    for name in ["nothing", "empty"] {
        for command in [&["train", "--resume", name][..], &["resume", name]] {
            refused(&place.onecycle(command), &[name, "run.toml"], name);
        }
    }
    assert!(!place.path("nothing").exists());
    assert_eq!(fs::read_dir(place.path("empty")).unwrap().count(), 0);

    // A recipe is a setting, too.
    for command in [&["train", "--resume", "run"][..], &["resume", "run"]] {
        refused(
            &place.onecycle(&[command, &["--recipe", "cifar10-94"]].concat()),
            &["--recipe cifar10-94", "keeps the settings"],
            "a recipe",
        );
    }

    fs::remove_file(place.path("run/summary.json")).unwrap();
    let run_file = place.text("run/run.toml");
    for (text, names) in [
        (
            run_file.replace("seed = 1", "seed = "),
            &["run.toml, line "][..],
        ),
        (
            run_file.replace("seed = 1", "sede = 1"),
            &["run.toml", "sede"],
        ),
        (run_file.replace("fashion-mnist", "imagenet"), &["imagenet"]),
        (
            run_file.replace("format = 1", "format = 2"),
            &["format 2", "format 1", "--accept-changes"],
        ),
        (
            run_file.replace("format = 1\n", ""),
            &["no known format", "--accept-changes"],
        ),
        (
            run_file.replace("train_images = 64", "train_images = 63"),
            &["training images was 63, is 64"],
        ),
        (
            run_file.replace("lr_max = 0.2", "lr_max = -0.2"),
            &["lr_max"],
        ),
        (String::new(), &["no known format"]),
    ] {
        assert_ne!(text, run_file);
        place.write("run/run.toml", &text);
        refused(&place.onecycle(&["resume", "run"]), names, "run.toml");
    }
    place.write("run/run.toml", run_file);
    let steps = place.read("run/steps.jsonl");
    place.write("run/steps.jsonl", "");
    refused(
        &place.onecycle(&["resume", "run"]),
        &["steps.jsonl", "0 complete lines", "needs 1"],
        "no steps",
    );
    fs::remove_file(place.path("run/steps.jsonl")).unwrap();
    fs::create_dir(place.path("run/steps.jsonl")).unwrap();
    refused(
        &place.onecycle(&["resume", "run"]),
        &["run/steps.jsonl"],
        "a folder of steps",
    );
    fs::remove_dir(place.path("run/steps.jsonl")).unwrap();
    place.write("run/steps.jsonl", "{\"step\": 0}\n");
    let answer = place.onecycle(&["resume", "run", "-q"]);
    refused(
        &answer,
        &["steps.jsonl, line 1", "missing field"],
        "other steps",
    );
    place.write("run/steps.jsonl", steps);
    refused(
        &place.onecycle(&["resume", "run", "--on-divergence", "x"]),
        &["on_divergence = x"],
        "a word",
    );
    for entry in fs::read_dir(place.path("run/checkpoints")).unwrap() {
        fs::write(entry.unwrap().path(), "1CYCKPT1 and no more").unwrap();
    }
    refused(
        &place.onecycle(&["resume", "run"]),
        &[".ckpt", "damaged"],
        "checkpoints",
    );
    fs::remove_dir_all(place.path("run/checkpoints")).unwrap();
    refused(
        &place.onecycle(&["resume", "run"]),
        &["checkpoints"],
        "no checkpoint",
    );
}

#[test]
fn a_run_that_diverges() {
    let place = Place::new();
    let args = [
        "train", "--model", "lenet5", "--limit", "256", "--steps", "50", "-q",
    ];
    let wild = ["--batch-size", "64", "--lr-max", "1e6", "--out", "run"];
    let answer = place.onecycle(&[&args[..], &wild].concat());
    assert_eq!(answer.code, 1);
    assert_eq!(answer.err.lines().count(), 1, "{}", answer.err);
    assert!(answer.err.contains("not finite at step"), "{}", answer.err);
    assert!(answer.err.contains("lr_max"), "{}", answer.err);
    assert!(
        answer.err.contains("`--on-divergence retry`"),
        "{}",
        answer.err
    );
    // A run that has retried in vain is not told to retry.
    let retrying = [
        "--lr-max",
        "1e30",
        "--on-divergence",
        "retry",
        "--out",
        "retried",
    ];
    let answer = place.onecycle(&[&args[..], &retrying].concat());
    assert_eq!(answer.code, 1);
    assert!(answer.err.contains("after 8 retries"), "{}", answer.err);
    assert!(!answer.err.contains("--on-divergence"), "{}", answer.err);
}

#[test]
fn models_and_images() {
    let place = Place::new();
    let tiny = [
        "train", "--model", "lenet5", "--limit", "64", "--steps", "1", "-q",
    ];
    place.succeed(&[&tiny[..], &["--out", "run"]].concat());
    place.write("image.png", {
        let mut bytes = std::io::Cursor::new(Vec::new());
        let picture = image::GrayImage::new(28, 28);
        picture
            .write_to(&mut bytes, image::ImageFormat::Png)
            .unwrap();
        bytes.into_inner()
    });
    place.succeed(&["predict", "run", "image.png"]);

    place.write("text.png", "no picture");
    let cut = place.read("image.png");
    place.write("cut.png", &cut[..cut.len() / 2]);
    fs::create_dir(place.path("folder")).unwrap();
    let model = place.read("run/model.safetensors");
    place.write("cut.safetensors", &model[..model.len() / 2]);
    place.write("noise.safetensors", [0x7f; 100]);
    place.write("empty.safetensors", "");
    let altered = |name: &str, from: &str, to: &str| {
        // A header in JSON precedes the tensors; the first eight bytes are its length.
        let (length, rest) = model.split_at(8);
        let length = u64::from_le_bytes(length.try_into().unwrap()) as usize;
        let header = std::str::from_utf8(&rest[..length]).unwrap();
        let other = header.replacen(from, to, 1);
        assert_ne!(header, other, "{name}");
        let bytes = [
            &(other.len() as u64).to_le_bytes(),
            other.as_bytes(),
            &rest[length..],
        ];
        place.write(name, bytes.concat());
    };
    let quoted = |key: &str| format!("\\\"{key}\\\":");
    altered(
        "other.safetensors",
        &(quoted("model") + "\\\"lenet5"),
        &(quoted("model") + "\\\"convnet"),
    );
    altered(
        "unknown.safetensors",
        &(quoted("model") + "\\\"lenet5"),
        &(quoted("model") + "\\\"vgg16"),
    );
    altered(
        "channels.safetensors",
        &(quoted("channels") + "1"),
        &(quoted("channels") + "0"),
    );
    altered(
        "colour.safetensors",
        &(quoted("channels") + "1"),
        &(quoted("channels") + "3"),
    );
    altered(
        "huge.safetensors",
        &(quoted("height") + "28"),
        &(quoted("height") + "999999999"),
    );
    altered(
        "tiny.safetensors",
        &(quoted("height") + "28"),
        &(quoted("height") + "1"),
    );
    altered(
        "mean.safetensors",
        &(quoted("mean") + "["),
        &(quoted("mean") + "[0.5,"),
    );
    altered(
        "classes.safetensors",
        &(quoted("classes") + "["),
        &(quoted("classes") + "[\\\"extra\\\","),
    );
    altered("card.safetensors", &quoted("shape"), &quoted("shapes"));
    altered("type.safetensors", "\"F32\"", "\"F64\"");
    altered("half.safetensors", "\"F32\"", "\"F16\"");
    altered("name.safetensors", "conv1.weight", "conv9.weight");
    place.write(
        "long.safetensors",
        [&u64::MAX.to_le_bytes()[..], b"{}"].concat(),
    );
    let tensor = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![1], &[0; 4]);
    let foreign = safetensors::serialize([("weight", tensor.unwrap())], None).unwrap();
    place.write("foreign.safetensors", foreign);

    let cases: &[(&[&str], &[&str])] = &[
        (&["nothing", "image.png"], &["nothing"]),
        (&["folder", "image.png"], &["folder/model.safetensors"]),
        (&["image.png", "image.png"], &["image.png is not a model"]),
        (
            &["cut.safetensors", "image.png"],
            &["cut.safetensors is not a model"],
        ),
        (
            &["noise.safetensors", "image.png"],
            &["noise.safetensors is not a model"],
        ),
        (
            &["empty.safetensors", "image.png"],
            &["empty.safetensors is not a model"],
        ),
        (
            &["foreign.safetensors", "image.png"],
            &["foreign.safetensors is not a model"],
        ),
        (
            &["other.safetensors", "image.png"],
            &["other.safetensors is not a model", "conv"],
        ),
        (&["unknown.safetensors", "image.png"], &["vgg16", "lenet5"]),
        (&["channels.safetensors", "image.png"], &["channels = 0"]),
        (
            &["colour.safetensors", "image.png"],
            &["colour.safetensors is not a model", "3 channels"],
        ),
        (&["huge.safetensors", "image.png"], &["height = 999999999"]),
        (&["tiny.safetensors", "image.png"], &["1 x 28"]),
        (
            &["mean.safetensors", "image.png"],
            &["mean.safetensors is not a model", "2 means"],
        ),
        (
            &["classes.safetensors", "image.png"],
            &["classes.safetensors is not a model"],
        ),
        (
            &["card.safetensors", "image.png"],
            &["card.safetensors is not a model", "shape"],
        ),
        (
            &["type.safetensors", "image.png"],
            &["type.safetensors is not a model"],
        ),
        (
            &["half.safetensors", "image.png"],
            &["half.safetensors is not a model"],
        ),
        (
            &["name.safetensors", "image.png"],
            &["name.safetensors is not a model", "conv1.weight"],
        ),
        (
            &["long.safetensors", "image.png"],
            &["long.safetensors is not a model"],
        ),
        (&["run", "nothing.png"], &["nothing.png"]),
        (&["run", "text.png"], &["text.png"]),
        (&["run", "cut.png"], &["cut.png"]),
        (&["run", "folder"], &["folder"]),
    ];
    let mut refusals = Refusals::default();
    for (args, names) in cases {
        let all = [&["predict"], *args].concat();
        refusals.expect(&place.onecycle(&all), names, &format!("{args:?}"));
    }
    refusals.end(24);
}

#[test]
fn models_and_data_that_cannot_be_evaluated() {
    let place = Place::new();
    let tiny = [
        "train", "--model", "lenet5", "--limit", "64", "--steps", "1", "-q",
    ];
    place.succeed(&[&tiny[..], &["--out", "run"]].concat());
    fs::create_dir(place.path("folder")).unwrap();
    // A run that was killed early.
    fs::create_dir(place.path("begun")).unwrap();
    fs::copy(place.path("run/run.toml"), place.path("begun/run.toml")).unwrap();
    for class in ["cat", "dog"] {
        for part in ["train", "val"] {
            let path = place.write(&format!("pets/{part}/{class}/0.png"), "");
            image::GrayImage::new(28, 28).save(path).unwrap();
        }
    }
    let cases: &[(&[&str], &[&str])] = &[
        (&["nothing"], &["nothing"]),
        (&["folder"], &["folder/model.safetensors"]),
        (&["begun"], &["begun", "onecycle resume begun"]),
        (&["run/run.toml"], &["run/run.toml is not a model"]),
        (&["run/model.safetensors"], &["--data"]),
        (&["run", "--data", "nowhere/else"], &["nowhere/else"]),
        (&["run", "--data", "unknown"], &["unknown"]),
        (
            &["run", "--data", "pets"],
            &["pets", "`cat` is none of the classes", "Bag"],
        ),
    ];
    let mut refusals = Refusals::default();
    for (args, names) in cases {
        let all = [&["evaluate"], *args].concat();
        refusals.expect(&place.onecycle(&all), names, &format!("{args:?}"));
    }
    refusals.end(cases.len());
}

#[test]
fn the_other_commands() {
    let place = Place::new();
    place.write("policy.toml", "[data]\npath = \"photos\"");
    let cases: &[(&[&str], &[&str])] = &[
        (
            &["plan", "--config", "policy.toml"],
            &["--images = nothing", "known data set", "--steps"],
        ),
        (
            &["plan", "--data", "photos/new", "--epochs", "3"],
            &["--images = nothing"],
        ),
        (&["plan", "--images", "0"], &["`samples`"]),
        (
            &["plan", "--steps", "100000000000"],
            &["steps = 100000000000"],
        ),
        (
            &["plan", "--figure", "x.gif"],
            &["--figure = x.gif", ".svg or .png"],
        ),
        (&["plan", "--figure", "no/such/x.svg"], &["no/such/x.svg"]),
        (&["plan", "--model", "lenet"], &["lenet"]),
        (
            &["plan", "--set", "optimizer.momentum=2"],
            &["momentum", "2"],
        ),
        (&["bench", "--shape", "0x28x28"], &["--shape = 0x28x28"]),
        (&["bench", "--shape", "3x32"], &["--shape = 3x32"]),
        (&["bench", "--shape", "3xax32x32"], &["--shape = 3xax32x32"]),
        (&["bench", "--shape", "1x2x2"], &["2 x 2"]),
        (&["bench", "--shape", "3x99999999x99999999"], &["--shape"]),
        (&["bench", "--model", "foo"], &["foo", "lenet5"]),
        (&["bench", "--device", "foo"], &["device = foo"]),
        (
            &["bench", "--batch", "99999999999"],
            &["--batch = 99999999999"],
        ),
        (&["bench", "--classes", "99999999999"], &["--classes"]),
        (&["bench", "--threads", "99999999999"], &["--threads"]),
        (&["data", "verify", "nope"], &["nope", "cifar10"]),
        (
            &["data", "verify", "mnist", "--path", "nowhere"],
            &["nowhere"],
        ),
        (&["data", "get", "nope"], &["nope", "cifar10"]),
        (
            &["data", "get", "mnist", "--from", "ftp://x", "--to", "d"],
            &["ftp://x"],
        ),
        (
            &["reproduce", "momentum", "--tasks", "convnet"],
            &["--tasks", "suggestions"],
        ),
    ];
    for (args, names) in cases {
        refused(&place.onecycle(args), names, &format!("{args:?}"));
    }
}

/// Errors of the argument parser have exit code 2.
#[test]
fn command_lines() {
    let place = Place::new();
    let cases: &[&[&str]] = &[
        &[],
        &["fly"],
        &["plan", "--format", "xml"],
        &["plan", "--images", "many"],
        &["plan", "--epochs", "1", "--steps", "2"],
        &["train", "--out", "a", "--resume", "b"],
        &["resume"],
        &["fit", "--weight-decay", "1e-3", "--weight-decays", "1e-4"],
        &["predict", "model"],
        &["predict", "model", "x.png", "--top", "0"],
        &["bench", "--batch", "0"],
        &["bench", "--steps", "0"],
        &["bench", "--classes", "-1"],
        &["data"],
        &["data", "get"],
    ];
    for args in cases {
        let answer = place.onecycle(args);
        assert_eq!(answer.code, 2, "{args:?}: {}", answer.err);
        assert!(answer.out.is_empty(), "{args:?}");
        assert!(
            answer.err.contains("Usage") || answer.err.contains("--help"),
            "{args:?}"
        );
    }
    assert_eq!(fs::read_dir(place.path("")).unwrap().count(), 0);
}
