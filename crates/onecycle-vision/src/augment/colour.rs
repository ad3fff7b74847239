//! Changes of colour on the bytes of an image `[channel, row, column]` with 1 or 3 channels.
//!
//! The arithmetic is that of torchvision's `functional_tensor` for `uint8`, in single precision and
//! with its truncations, so the bytes are equal.

use crate::dataset::ImageShape;

/// Weights of red, green and blue in grey.
const GREY: [f32; 3] = [0.2989, 0.587, 0.114];

/// Blends with black. A factor of 1 changes nothing, 0 gives black.
pub(super) fn brightness(image: &mut [u8], factor: f64) {
    let blend = Blend::new(factor);
    map(image, |value| blend.of(value, 0.0));
}

/// Blends with the mean grey of the image. A factor of 1 changes nothing, 0 gives that grey.
pub(super) fn contrast(image: &mut [u8], shape: ImageShape, factor: f64) {
    let sum: u64 = match planes(image, shape) {
        Some([red, green, blue]) => red
            .iter()
            .zip(green.iter())
            .zip(blue.iter())
            .map(|((&r, &g), &b)| u64::from(grey(r, g, b)))
            .sum(),
        None => image.iter().map(|&value| u64::from(value)).sum(),
    };
    let mean = sum as f32 / shape.plane() as f32;
    let blend = Blend::new(factor);
    map(image, |value| blend.of(value, mean));
}

/// Blends each pixel with its grey. A factor of 1 changes nothing, 0 gives a grey image. Grey images
/// stay as they are.
pub(super) fn saturation(image: &mut [u8], shape: ImageShape, factor: f64) {
    let blend = Blend::new(factor);
    let Some([red, green, blue]) = planes(image, shape) else {
        return;
    };
    for ((r, g), b) in red.iter_mut().zip(green).zip(blue) {
        let grey = f32::from(grey(*r, *g, *b));
        (*r, *g, *b) = (blend.of(*r, grey), blend.of(*g, grey), blend.of(*b, grey));
    }
}

/// Turns the hue by `turns` of the colour circle, -0.5 to 0.5. Grey images stay as they are.
pub(super) fn hue(image: &mut [u8], shape: ImageShape, turns: f64) {
    let Some([red, green, blue]) = planes(image, shape) else {
        return;
    };
    let turns = turns as f32;
    for ((r, g), b) in red.iter_mut().zip(green).zip(blue) {
        let [hue, saturation, value] = to_hsv([*r, *g, *b].map(|x| f32::from(x) / 255.0));
        let turned = hue + turns;
        let turned = match turned {
            x if x < 0.0 => x + 1.0,
            x if x >= 1.0 => x - 1.0,
            x => x,
        };
        // torchvision's `convert_image_dtype`: 256 ranges of almost equal size.
        let bytes = to_rgb([turned, saturation, value]).map(|x| (x * 255.999) as u8);
        (*r, *g, *b) = (bytes[0], bytes[1], bytes[2]);
    }
}

/// Blends with the image smoothed by a 3 x 3 kernel of ones with 5 in its centre. A factor above 1
/// sharpens. The pixels at the edge are not smoothed.
pub(super) fn sharpness(image: &mut [u8], shape: ImageShape, factor: f64) {
    let (height, width) = (shape.height, shape.width);
    if height <= 2 || width <= 2 {
        return;
    }
    let blend = Blend::new(factor);
    for plane in image.chunks_exact_mut(shape.plane()) {
        let before = plane.to_vec();
        // Blending the edge with itself may round down, as in torchvision.
        map(plane, |value| blend.of(value, f32::from(value)));
        for row in 1..height - 1 {
            let line = |row: usize| &before[row * width..(row + 1) * width];
            let lines = [line(row - 1), line(row), line(row + 1)];
            let out = &mut plane[row * width..(row + 1) * width];
            for column in 1..width - 1 {
                let sum = |line: &[u8]| {
                    let three = &line[column - 1..=column + 1];
                    three.iter().map(|&value| u32::from(value)).sum::<u32>()
                };
                let centre = lines[1][column];
                let sum = lines.map(sum).iter().sum::<u32>() + 4 * u32::from(centre);
                // Rounded; there are no ties because 13 is odd.
                let smooth = (2 * sum + 13) / 26;
                out[column] = blend.of(centre, smooth as f32);
            }
        }
    }
}

/// Keeps the highest `bits` bits of each value, 0 to 8.
pub(super) fn posterize(image: &mut [u8], bits: u32) {
    let mask = 255_u8.checked_shl(8 - bits.min(8)).unwrap_or(0);
    map(image, |value| value & mask);
}

/// Inverts the values from `threshold` on.
pub(super) fn solarize(image: &mut [u8], threshold: f32) {
    map(image, |value| match f32::from(value) >= threshold {
        true => 255 - value,
        false => value,
    });
}

/// Stretches the values of each channel to 0 to 255.
pub(super) fn auto_contrast(image: &mut [u8], shape: ImageShape) {
    for plane in image.chunks_exact_mut(shape.plane()) {
        let low = plane.iter().copied().min().unwrap_or(0);
        let high = plane.iter().copied().max().unwrap_or(0);
        if low == high {
            continue;
        }
        let scale = 255.0 / (f32::from(high) - f32::from(low));
        map(plane, |value| {
            ((f32::from(value) - f32::from(low)) * scale).clamp(0.0, 255.0) as u8
        });
    }
}

/// Makes the histogram of each channel as flat as possible.
pub(super) fn equalize(image: &mut [u8], shape: ImageShape) {
    for plane in image.chunks_exact_mut(shape.plane()) {
        let mut histogram = [0_usize; 256];
        for &value in plane.iter() {
            histogram[usize::from(value)] += 1;
        }
        let last = histogram.iter().rev().find(|&&count| count > 0);
        let step = (plane.len() - last.copied().unwrap_or(0)) / 255;
        if step == 0 {
            continue;
        }
        let mut below = 0;
        let table = histogram.map(|count| {
            let level = ((below + step / 2) / step).min(255) as u8;
            below += count;
            level
        });
        map(plane, |value| table[usize::from(value)]);
    }
}

/// torchvision's `_blend`: `factor` times a value plus `1 - factor` times another, cut off to a byte.
#[derive(Clone, Copy)]
struct Blend {
    own: f32,
    other: f32,
}

impl Blend {
    fn new(factor: f64) -> Self {
        Self {
            own: factor as f32,
            other: (1.0 - factor) as f32,
        }
    }

    fn of(self, value: u8, other: f32) -> u8 {
        (self.own * f32::from(value) + self.other * other).clamp(0.0, 255.0) as u8
    }
}

fn grey(r: u8, g: u8, b: u8) -> u8 {
    (GREY[0] * f32::from(r) + GREY[1] * f32::from(g) + GREY[2] * f32::from(b)) as u8
}

/// Replaces each value by a function of it.
fn map(values: &mut [u8], function: impl Fn(u8) -> u8) {
    let mut table = [0; 256];
    for (value, out) in (0..=255).zip(&mut table) {
        *out = function(value);
    }
    for value in values {
        *value = table[usize::from(*value)];
    }
}

/// Red, green and blue; `None` for a grey image.
fn planes(image: &mut [u8], shape: ImageShape) -> Option<[&mut [u8]; 3]> {
    let mut planes = image.chunks_exact_mut(shape.plane());
    match (planes.next(), planes.next(), planes.next()) {
        (Some(red), Some(green), Some(blue)) => Some([red, green, blue]),
        _ => None,
    }
}

/// Hue in turns, saturation and value, of red, green and blue from 0 to 1.
fn to_hsv([r, g, b]: [f32; 3]) -> [f32; 3] {
    let (high, low) = (r.max(g).max(b), r.min(g).min(b));
    if high == low {
        return [0.0, 0.0, high];
    }
    let range = high - low;
    let [rc, gc, bc] = [r, g, b].map(|x| (high - x) / range);
    let sixths = if high == r {
        bc - gc
    } else if high == g {
        2.0 + rc - bc
    } else {
        4.0 + gc - rc
    };
    let hue = sixths / 6.0 + 1.0;
    let hue = if hue >= 1.0 { hue - 1.0 } else { hue };
    [hue, range / high, high]
}

fn to_rgb([hue, saturation, value]: [f32; 3]) -> [f32; 3] {
    let sixths = hue * 6.0;
    let sector = sixths as u32;
    let f = sixths - sector as f32;
    let limit = |x: f32| x.clamp(0.0, 1.0);
    let p = limit(value * (1.0 - saturation));
    let q = limit(value * (1.0 - saturation * f));
    let t = limit(value * (1.0 - saturation * (1.0 - f)));
    match sector % 6 {
        0 => [value, t, p],
        1 => [q, value, p],
        2 => [p, value, t],
        3 => [p, q, value],
        4 => [t, p, value],
        _ => [value, p, q],
    }
}
