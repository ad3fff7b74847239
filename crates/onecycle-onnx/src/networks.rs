//! The networks of [`onecycle_vision::models`], layer by layer.
//!
//! They are stated again here because an ONNX file describes operations, whereas a Burn module
//! executes them. Names are the paths of the layers in the modules. `scripts/check_onnx.sh`
//! compares the outputs of both.

use onecycle_vision::models::{
    Airbench94, Architecture, EfficientNetLite0, ImageNetResNetShape, ResNet9,
};

use crate::{
    OnnxError,
    layers::{Layers, Value, Window},
};

type Result = std::result::Result<Value, OnnxError>;

/// Adds a network after `images`, normalised and `[channels, height, width]`. Returns its logits
/// `[classes]`.
pub(crate) fn network(l: &mut Layers, architecture: Architecture, images: Value) -> Result {
    match architecture {
        Architecture::LeNet5 => lenet5(l, images),
        Architecture::CaffeLeNet => caffe_lenet(l, images),
        Architecture::ConvNet { batch_norm } => convnet(l, batch_norm, images),
        Architecture::Mlp => mlp(l, images),
        Architecture::ResNetSmall => resnet(l, 1, 2, images),
        Architecture::ResNet { blocks } => resnet(l, blocks, 1, images),
        Architecture::ResNet9 => resnet9(l, images),
        Architecture::Airbench94 => airbench94(l, images),
        Architecture::ResNet18 => imagenet_resnet(l, ImageNetResNetShape::RESNET18, images),
        Architecture::ResNet34 => imagenet_resnet(l, ImageNetResNetShape::RESNET34, images),
        Architecture::ResNet50 => imagenet_resnet(l, ImageNetResNetShape::RESNET50, images),
        Architecture::EfficientNetLite0 => efficientnet_lite0(l, images),
        Architecture::TfEfficientNetLite0 => {
            l.epsilon = EfficientNetLite0::TENSORFLOW_EPSILON;
            l.same_upper = true;
            efficientnet_lite0(l, images)
        }
    }
}

/// [`LeNet5`](onecycle_vision::models::LeNet5).
fn lenet5(l: &mut Layers, x: Value) -> Result {
    let x = l.conv("conv1", Window::same(5), x)?;
    let x = l.relu(x);
    let x = l.max_pool(2, x)?;
    let x = l.conv("conv2", Window::valid(), x)?;
    let x = l.relu(x);
    let x = l.max_pool(2, x)?;
    mlp(l, x)
}

/// [`CaffeLeNet`](onecycle_vision::models::CaffeLeNet).
fn caffe_lenet(l: &mut Layers, x: Value) -> Result {
    let x = l.conv("conv1", Window::valid(), x)?;
    let x = l.max_pool(2, x)?;
    let x = l.conv("conv2", Window::valid(), x)?;
    let x = l.max_pool(2, x)?;
    let x = l.flatten(x);
    let x = l.linear("fc1", x)?;
    let x = l.relu(x);
    l.linear("fc2", x)
}

/// [`Mlp`](onecycle_vision::models::Mlp), and the end of LeNet-5.
fn mlp(l: &mut Layers, x: Value) -> Result {
    let x = l.flatten(x);
    let x = l.linear("fc1", x)?;
    let x = l.relu(x);
    let x = l.linear("fc2", x)?;
    let x = l.relu(x);
    l.linear("fc3", x)
}

/// [`ConvNet`](onecycle_vision::models::ConvNet).
fn convnet(l: &mut Layers, batch_norm: bool, mut x: Value) -> Result {
    for (conv, norm, pool) in [
        ("conv1", "bn1", true),
        ("conv2", "bn2", true),
        ("conv3", "bn3", false),
    ] {
        x = match batch_norm {
            true => l.conv_norm(conv, norm, Window::same(3), x)?,
            false => l.conv(conv, Window::same(3), x)?,
        };
        x = l.relu(x);
        if pool {
            x = l.max_pool(2, x)?;
        }
    }
    let x = l.global_average_pool(x);
    l.linear("fc", x)
}

/// [`ResNet`](onecycle_vision::models::ResNet) with `blocks` blocks per stage.
fn resnet(l: &mut Layers, blocks: usize, stem_stride: usize, x: Value) -> Result {
    let stem = Window::same(3).with_stride(stem_stride);
    let x = l.conv_norm("conv1", "bn1", stem, x)?;
    let mut x = l.relu(x);
    for (stage, stride) in [("stage1", 1), ("stage2", 2), ("stage3", 2)] {
        for block in 0..blocks {
            let stride = if block == 0 { stride } else { 1 };
            x = basic_block(l, &format!("{stage}.{block}"), stride, x)?;
        }
    }
    let x = l.global_average_pool(x);
    l.linear("fc", x)
}

/// [`BasicBlock`](onecycle_vision::models::BasicBlock): `relu(bn2(conv2(relu(bn1(conv1(x))))) +
/// shortcut(x))`. A block that halves the side also changes the number of channels, so its shortcut
/// is a projection.
fn basic_block(l: &mut Layers, name: &str, stride: usize, x: Value) -> Result {
    let path = |layer: &str| format!("{name}.{layer}");
    let first = Window::same(3).with_stride(stride);
    let y = l.conv_norm(&path("conv1"), &path("bn1"), first, x.clone())?;
    let y = l.relu(y);
    let y = l.conv_norm(&path("conv2"), &path("bn2"), Window::same(3), y)?;
    let shortcut = match stride {
        1 => x,
        _ => {
            let window = Window::same(1).with_stride(stride);
            let (conv, norm) = (path("shortcut.conv"), path("shortcut.bn"));
            l.conv_norm(&conv, &norm, window, x)?
        }
    };
    let sum = l.add(&path("add"), y, shortcut);
    Ok(l.relu(sum))
}

/// [`ResNet9`](onecycle_vision::models::ResNet9).
fn resnet9(l: &mut Layers, x: Value) -> Result {
    let x = conv_norm_relu(l, "prep", x)?;
    let x = conv_norm_relu(l, "layer1", x)?;
    let x = l.max_pool(2, x)?;
    let x = residual(l, "residual1", x)?;
    let x = conv_norm_relu(l, "layer2", x)?;
    let x = l.max_pool(2, x)?;
    let x = conv_norm_relu(l, "layer3", x)?;
    let x = l.max_pool(2, x)?;
    let x = residual(l, "residual3", x)?;
    let x = l.global_max_pool(x);
    let x = l.linear("fc", x)?;
    l.with_constants("scaled", "Mul", x, vec![], &[ResNet9::LOGIT_SCALE])
}

/// [`Airbench94`](onecycle_vision::models::Airbench94).
fn airbench94(l: &mut Layers, x: Value) -> Result {
    l.epsilon = Airbench94::EPSILON;
    let x = l.conv("whiten", Window::valid(), x)?;
    let mut x = l.gelu(x)?;
    for group in ["group1", "group2", "group3"] {
        let path = |layer: &str| format!("{group}.{layer}");
        // The batch norm follows the pool. Its scale is positive, so it can also precede it.
        x = l.conv_norm(&path("conv1"), &path("norm1"), Window::same(3), x)?;
        x = l.max_pool(2, x)?;
        x = l.gelu(x)?;
        x = l.conv_norm(&path("conv2"), &path("norm2"), Window::same(3), x)?;
        x = l.gelu(x)?;
    }
    let x = l.global_max_pool(x);
    let x = l.linear("fc", x)?;
    l.with_constants("scaled", "Mul", x, vec![], &[Airbench94::LOGIT_SCALE])
}

/// [`ImageNetResNet`](onecycle_vision::models::ImageNetResNet).
fn imagenet_resnet(l: &mut Layers, shape: ImageNetResNetShape, x: Value) -> Result {
    let x = l.conv_norm("conv1", "bn1", Window::same(7).with_stride(2), x)?;
    let x = l.relu(x);
    let mut x = l.max_pool_with(3, Window::same(3).with_stride(2), x)?;
    for (index, blocks) in shape.blocks.into_iter().enumerate() {
        for block in 0..blocks {
            let stride = if index > 0 && block == 0 { 2 } else { 1 };
            let name = format!("layer{}.{block}", index + 1);
            x = match shape.bottleneck {
                true => bottleneck_block(l, &name, stride, x)?,
                false => plain_block(l, &name, stride, x)?,
            };
        }
    }
    let x = l.global_average_pool(x);
    l.linear("fc", x)
}

/// [`PlainBlock`](onecycle_vision::models::PlainBlock).
fn plain_block(l: &mut Layers, name: &str, stride: usize, x: Value) -> Result {
    let path = |layer: &str| format!("{name}.{layer}");
    let first = Window::same(3).with_stride(stride);
    let y = l.conv_norm(&path("conv1"), &path("bn1"), first, x.clone())?;
    let y = l.relu(y);
    let y = l.conv_norm(&path("conv2"), &path("bn2"), Window::same(3), y)?;
    end_of_block(l, name, stride, x, y)
}

/// [`BottleneckBlock`](onecycle_vision::models::BottleneckBlock).
fn bottleneck_block(l: &mut Layers, name: &str, stride: usize, x: Value) -> Result {
    let path = |layer: &str| format!("{name}.{layer}");
    let y = l.conv_norm(&path("conv1"), &path("bn1"), Window::same(1), x.clone())?;
    let y = l.relu(y);
    let second = Window::same(3).with_stride(stride);
    let y = l.conv_norm(&path("conv2"), &path("bn2"), second, y)?;
    let y = l.relu(y);
    let y = l.conv_norm(&path("conv3"), &path("bn3"), Window::same(1), y)?;
    end_of_block(l, name, stride, x, y)
}

/// `relu(y + shortcut(x))`. The shortcut is a projection if the shapes differ.
fn end_of_block(l: &mut Layers, name: &str, stride: usize, x: Value, y: Value) -> Result {
    let path = |layer: &str| format!("{name}.{layer}");
    let shortcut = if x.shape == y.shape {
        x
    } else {
        let window = Window::same(1).with_stride(stride);
        l.conv_norm(&path("downsample.0"), &path("downsample.1"), window, x)?
    };
    let sum = l.add(&path("add"), y, shortcut);
    Ok(l.relu(sum))
}

/// Blocks, side of the depthwise windows and first stride of the stages of EfficientNet-Lite0.
const MOBILE_STAGES: [[usize; 3]; 7] = [
    [1, 3, 1],
    [2, 3, 2],
    [2, 5, 2],
    [3, 3, 2],
    [3, 5, 1],
    [4, 5, 2],
    [1, 3, 1],
];

/// [`EfficientNetLite0`](onecycle_vision::models::EfficientNetLite0).
fn efficientnet_lite0(l: &mut Layers, x: Value) -> Result {
    let x = l.conv_norm("conv_stem", "bn1", Window::same(3).with_stride(2), x)?;
    let mut x = l.relu6(x)?;
    for (index, [blocks, kernel, stride]) in MOBILE_STAGES.into_iter().enumerate() {
        for block in 0..blocks {
            let name = format!("blocks.{index}.{block}");
            let window = Window::same(kernel).with_stride(if block == 0 { stride } else { 1 });
            let y = match index {
                0 => separable_block(l, &name, window, x.clone())?,
                _ => inverted_block(l, &name, window, x.clone())?,
            };
            x = match x.shape == y.shape {
                true => l.add(&format!("{name}.add"), y, x),
                false => y,
            };
        }
    }
    let x = l.conv_norm("conv_head", "bn2", Window::same(1), x)?;
    let x = l.relu6(x)?;
    let x = l.global_average_pool(x);
    l.linear("classifier", x)
}

/// [`SeparableBlock`](onecycle_vision::models::SeparableBlock), without the residual.
fn separable_block(l: &mut Layers, name: &str, window: Window, x: Value) -> Result {
    let path = |layer: &str| format!("{name}.{layer}");
    let window = window.depthwise(x.shape[0]);
    let x = l.conv_norm(&path("conv_dw"), &path("bn1"), window, x)?;
    let x = l.relu6(x)?;
    l.conv_norm(&path("conv_pw"), &path("bn2"), Window::same(1), x)
}

/// [`InvertedBlock`](onecycle_vision::models::InvertedBlock), without the residual.
fn inverted_block(l: &mut Layers, name: &str, window: Window, x: Value) -> Result {
    let path = |layer: &str| format!("{name}.{layer}");
    let x = l.conv_norm(&path("conv_pw"), &path("bn1"), Window::same(1), x)?;
    let x = l.relu6(x)?;
    let window = window.depthwise(x.shape[0]);
    let x = l.conv_norm(&path("conv_dw"), &path("bn2"), window, x)?;
    let x = l.relu6(x)?;
    l.conv_norm(&path("conv_pwl"), &path("bn3"), Window::same(1), x)
}

/// A [`ConvBn`](onecycle_vision::models::ConvBn) of 3 × 3 pixels and ReLU.
fn conv_norm_relu(l: &mut Layers, name: &str, x: Value) -> Result {
    let (conv, norm) = (format!("{name}.conv"), format!("{name}.bn"));
    let x = l.conv_norm(&conv, &norm, Window::same(3), x)?;
    Ok(l.relu(x))
}

/// Two layers, added to their input.
fn residual(l: &mut Layers, name: &str, x: Value) -> Result {
    let y = conv_norm_relu(l, &format!("{name}.0"), x.clone())?;
    let y = conv_norm_relu(l, &format!("{name}.1"), y)?;
    Ok(l.add(&format!("{name}.add"), y, x))
}
