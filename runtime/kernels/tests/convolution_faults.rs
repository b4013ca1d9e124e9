//! Impossible convolutions are refused when they are made.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use comet_kernels::{Conv, ConvShape, ConvSpec, Depthwise, Fault, Halo, Layout, MaxPool, Pool, Target, Tier};

const MAX: usize = usize::MAX;
const NO_HALO: Halo = Halo { top: 0, left: 0, bottom: 0, right: 0 };
const HALO: Halo = Halo { top: 1, left: 1, bottom: 1, right: 1 };
const BYTES: Target = Target::Bytes { zero_point: 0, low: 0, high: 255 };

/// Arguments of a constructor.
struct Call {
    depthwise: bool,
    shape: ConvShape,
    input: Layout,
    zero_point: u8,
    weights: Vec<i8>,
    bias: Vec<i32>,
    multipliers: Vec<f32>,
    output: Layout,
    target: Target,
}

impl Call {
    /// 3x3 from 5 to 5 channels on 6 x 7 pixels, padded by 1 on every side.
    fn valid(depthwise: bool) -> Self {
        Self {
            depthwise,
            shape: ConvShape { channels: 5, kernel: [3; 2], stride: [1; 2], dilation: [1; 2], padding: HALO },
            input: Layout::new(5, 6, 7, HALO).unwrap(),
            zero_point: 0,
            weights: vec![1; if depthwise { 45 } else { 225 }],
            bias: vec![0; 5],
            multipliers: vec![1.0; 5],
            output: layout(5, 6, 7),
            target: BYTES,
        }
    }

    fn spec(&self) -> ConvSpec<'_> {
        ConvSpec {
            shape: self.shape,
            input: self.input,
            zero_point: self.zero_point,
            weights: &self.weights,
            bias: &self.bias,
            multipliers: &self.multipliers,
            output: self.output,
            target: self.target,
        }
    }

    fn conv(&self, tier: Tier) -> Result<Conv, Fault> {
        Conv::new(tier, &self.spec())
    }

    fn per_channel(&self, tier: Tier) -> Result<Depthwise, Fault> {
        Depthwise::new(tier, &self.spec())
    }

    fn fault(&self, tier: Tier) -> Option<Fault> {
        if self.depthwise { self.per_channel(tier).err() } else { self.conv(tier).err() }
    }
}

fn layout(channels: usize, height: usize, width: usize) -> Layout {
    Layout::new(channels, height, width, NO_HALO).unwrap()
}

type Change = fn(&mut Call);

/// Every change makes a valid call one of shapes that do not belong together. Outputs follow where a
/// constructor might otherwise notice nothing but their size.
const CHANGES: [(&str, Change); 33] = [
    ("no rows in the kernel", |call| call.shape.kernel[0] = 0),
    ("no columns in the kernel", |call| call.shape.kernel[1] = 0),
    ("no taps and no weights", |call| (call.shape.kernel, call.weights) = ([0; 2], Vec::new())),
    ("no steps down", |call| call.shape.stride[0] = 0),
    ("no steps to the right", |call| call.shape.stride[1] = 0),
    ("taps in one place", |call| (call.shape.dilation, call.output) = ([0; 2], layout(5, 8, 9))),
    ("taps in one row", |call| (call.shape.dilation, call.output) = ([0, 1], layout(5, 8, 7))),
    ("taps in one column", |call| (call.shape.dilation, call.output) = ([1, 0], layout(5, 6, 9))),
    ("a kernel beyond numbers", |call| call.shape.kernel = [MAX; 2]),
    ("rows beyond numbers", |call| call.shape.kernel[0] = MAX),
    ("a dilation beyond numbers", |call| call.shape.dilation = [MAX; 2]),
    ("half a dilation beyond numbers", |call| call.shape.dilation[1] = MAX / 2 + 1),
    ("a padding beyond numbers", |call| call.shape.padding.top = MAX),
    ("paddings beyond numbers", |call| {
        call.shape.padding = Halo { top: MAX, left: MAX, bottom: MAX, right: MAX };
    }),
    ("half a padding beyond numbers", |call| call.shape.padding.left = MAX / 2),
    ("no channels", |call| call.shape.channels = 0),
    ("channels beyond numbers", |call| call.shape.channels = MAX),
    ("other channels", |call| call.shape.channels = 6),
    ("a kernel that does not fit", |call| call.shape.kernel[0] = 9),
    ("a dilation that does not fit", |call| call.shape.dilation[1] = 5),
    ("rows missing", |call| call.output = layout(5, 5, 7)),
    ("columns missing", |call| call.output = layout(5, 6, 6)),
    ("a row too many", |call| call.output = layout(5, 7, 7)),
    ("channels missing", |call| call.output = layout(4, 6, 7)),
    ("pixels that are not whole blocks", |call| call.output = Layout::image(5, 6, 7, NO_HALO).unwrap()),
    ("no halo", |call| call.input = layout(5, 6, 7)),
    ("a weight too few", |call| call.weights.truncate(44)),
    ("a weight too many", |call| call.weights.push(1)),
    ("no weights", |call| call.weights.clear()),
    ("a bias too few", |call| call.bias.truncate(4)),
    ("a bias too many", |call| call.bias.push(0)),
    ("a multiplier too few", |call| call.multipliers.truncate(4)),
    ("a multiplier too many", |call| call.multipliers.push(1.0)),
];

#[test]
fn shapes_that_do_not_belong_together_are_refused() {
    for tier in Tier::available() {
        for depthwise in [false, true] {
            assert_eq!(Call::valid(depthwise).fault(tier), None);
            for (name, change) in CHANGES {
                let mut call = Call::valid(depthwise);
                change(&mut call);
                let fault = call.fault(tier);
                let refused = matches!(fault, Some(Fault::Shape(_)));
                assert!(refused, "{tier:?}, depthwise {depthwise}: {name}: {fault:?}");
            }
        }
    }
}

#[test]
fn a_halo_smaller_than_the_padding_is_refused() {
    let sides = [
        Halo { top: 2, ..HALO },
        Halo { left: 2, ..HALO },
        Halo { bottom: 2, ..HALO },
        Halo { right: 2, ..HALO },
    ];
    for padding in sides {
        for depthwise in [false, true] {
            let mut call = Call::valid(depthwise);
            call.shape.padding = padding;
            let [height, width] = call.shape.output(6, 7).unwrap();
            call.output = layout(5, height, width);
            assert!(matches!(call.fault(Tier::Scalar), Some(Fault::Shape(_))), "{depthwise} {padding:?}");
            call.input = Layout::new(5, 6, 7, padding).unwrap();
            assert_eq!(call.fault(Tier::Scalar), None, "{depthwise} {padding:?}");
        }
    }
}

#[test]
fn depthwise_convolutions_take_and_give_bytes_of_whole_blocks() {
    let mut call = Call::valid(true);
    call.target = Target::Reals;
    assert!(matches!(call.fault(Tier::Scalar), Some(Fault::Shape(_))));
    let mut call = Call::valid(true);
    call.input = Layout::image(5, 6, 7, HALO).unwrap();
    assert!(matches!(call.fault(Tier::Scalar), Some(Fault::Shape(_))));
    let mut call = Call::valid(true);
    call.input = Layout::new(6, 6, 7, HALO).unwrap();
    assert!(matches!(call.fault(Tier::Scalar), Some(Fault::Shape(_))));
}

#[test]
fn invalid_multipliers_are_refused() {
    for multiplier in [0.0, -0.0, -1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e-42] {
        for depthwise in [false, true] {
            let mut call = Call::valid(depthwise);
            call.multipliers[4] = multiplier;
            assert_eq!(call.fault(Tier::Scalar), Some(Fault::Scale), "{depthwise} {multiplier}");
        }
    }
}

#[test]
fn sums_that_could_overflow_are_refused() {
    // 9 taps of 5 channels or of 1, all 127, meet bytes of 255.
    for (depthwise, largest) in [(false, 45 * 127 * 255), (true, 9 * 127 * 255)] {
        let (above, below) = (i32::MAX - largest + 1, i32::MIN + largest - 1);
        for (weight, bias) in [(127, above), (127, i32::MAX), (-127, i32::MIN), (-127, below)] {
            let mut call = Call::valid(depthwise);
            call.weights.fill(weight);
            call.bias[2] = bias;
            assert_eq!(call.fault(Tier::Scalar), Some(Fault::Overflow(2)), "{depthwise} {weight} {bias}");
        }
        // Half way there nothing can overflow, with any zero point.
        let (above, below) = (i32::MAX / 2, i32::MIN / 2);
        for (weight, bias, zero_point) in [(127, above, 255), (-127, below, 255), (127, below, 0)] {
            let mut call = Call { zero_point, ..Call::valid(depthwise) };
            call.weights.fill(weight);
            call.bias.fill(bias);
            assert_eq!(call.fault(Tier::Scalar), None, "{depthwise} {weight} {bias} {zero_point}");
        }
    }
}

#[test]
fn sums_near_overflow_are_exact() {
    // As near as a bias may come: tiers that read bytes as signed ones pass through larger partial sums.
    let room = i32::MAX - 9 * 127 * (255 + 128);
    let pool = Pool::new(1).unwrap();
    for (weight, bias, byte) in [(127, room, 255u8), (127, room, 0), (-127, -room, 255), (-127, -room, 0)] {
        let call = Call {
            shape: ConvShape { channels: 1, padding: NO_HALO, ..Call::valid(false).shape },
            input: layout(1, 3, 3),
            weights: vec![weight; 9],
            bias: vec![bias],
            multipliers: vec![0.5],
            output: layout(1, 1, 1),
            target: Target::Reals,
            ..Call::valid(false)
        };
        let sum = bias + 9 * i32::from(weight) * i32::from(byte);
        for tier in Tier::available() {
            let mut real = [0.0];
            let conv = call.conv(tier).unwrap();
            conv.run_real(&pool, &vec![byte; call.input.len()], &mut real).unwrap();
            assert_eq!(real, [sum as f32 * 0.5], "{tier:?} {weight} {bias} {byte}");
        }
    }
}

#[test]
fn steps_longer_than_any_input_give_one_window_or_are_refused() {
    let pool = Pool::new(1).unwrap();
    for tier in Tier::available() {
        for stride in [MAX, MAX / 2, 1 << 30] {
            let (mut dense, mut depthwise) = (Call::valid(false), Call::valid(true));
            for call in [&mut dense, &mut depthwise] {
                call.shape.stride = [stride; 2];
                call.output = layout(5, 1, 1);
            }
            let (input, mut output) = (vec![1u8; dense.input.len()], vec![0u8; dense.output.len()]);
            if let Ok(conv) = dense.conv(tier) {
                conv.run(&pool, &input, &mut output).unwrap();
                assert_eq!(output[..5], [45; 5], "{tier:?} {stride}");
            }
            if let Ok(conv) = depthwise.per_channel(tier) {
                conv.run(&pool, &input, &mut output).unwrap();
                assert_eq!(output[..5], [9; 5], "{tier:?} {stride}");
            }
            if let Ok(pooling) = MaxPool::new(tier, dense.shape, dense.input, dense.output) {
                pooling.run(&pool, &input, &mut output).unwrap();
                assert_eq!(output[..5], [1; 5], "{tier:?} {stride}");
            }
        }
    }
}
