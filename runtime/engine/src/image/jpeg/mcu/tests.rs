use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

use super::super::sample;
use super::super::walk::{header_segments, is_cut_off};
use super::*;

type Sampling = SamplingFactor;

const SAMPLINGS: [Sampling; 8] = [
    Sampling::R_4_4_4,
    Sampling::R_4_4_0,
    Sampling::R_4_2_2,
    Sampling::R_4_2_0,
    Sampling::R_4_4_1,
    Sampling::R_4_1_1,
    Sampling::R_4_2_1,
    Sampling::R_4_1_0,
];

fn jpeg(
    pixels: &[u8],
    (width, height): (u16, u16),
    colour: ColorType,
    set: impl Fn(&mut Encoder<&mut Vec<u8>>),
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, 85);
    set(&mut encoder);
    encoder.encode(pixels, width, height, colour).unwrap();
    bytes
}

#[test]
fn whole_images_of_every_sampling_are_whole() {
    let pixels = sample::pixels(96, 64, 1).into_raw();
    for sampling in SAMPLINGS {
        for (progressive, restart) in [(false, 0), (false, 5), (true, 0), (true, 7)] {
            let bytes = jpeg(&pixels, (96, 64), ColorType::Rgb, |encoder| {
                encoder.set_sampling_factor(sampling);
                encoder.set_progressive(progressive);
                encoder.set_restart_interval(restart);
            });
            match check_blocks(&bytes) {
                Ok(()) => {}
                // The encoder writes separate scans where it knows no interleaving.
                Err(ImageErrorKind::SeparateScans) => assert!(!progressive, "{sampling:?}"),
                Err(fault) => panic!("{sampling:?} {progressive} {restart}: {fault}"),
            }
        }
    }
}

#[test]
fn whole_images_of_odd_sizes_and_other_colours_are_whole() {
    for size in [(1, 1), (7, 9), (17, 33), (100, 75)] {
        let pixels = sample::pixels(u32::from(size.0), u32::from(size.1), 4);
        let rgb = jpeg(pixels.as_raw(), size, ColorType::Rgb, |encoder| {
            encoder.set_sampling_factor(Sampling::R_4_2_0);
        });
        let grey: Vec<u8> = pixels.pixels().map(|pixel| pixel.0[0]).collect();
        let grey = jpeg(&grey, size, ColorType::Luma, |_| {});
        let four: Vec<u8> =
            pixels.pixels().flat_map(|pixel| [pixel.0[0], pixel.0[1], pixel.0[2], 9]).collect();
        let four = jpeg(&four, size, ColorType::Cmyk, |_| {});
        for (number, bytes) in [rgb, grey, four].iter().enumerate() {
            assert!(check_blocks(bytes).is_ok(), "{number} of {size:?}: {:?}", check_blocks(bytes));
        }
    }
}

#[test]
fn every_part_of_the_data_is_missed() {
    let pixels = sample::pixels(96, 64, 2).into_raw();
    for (progressive, restart) in [(false, 0), (false, 4), (true, 0)] {
        let bytes = jpeg(&pixels, (96, 64), ColorType::Rgb, |encoder| {
            encoder.set_progressive(progressive);
            encoder.set_restart_interval(restart);
        });
        let header = header_segments(&bytes).last().unwrap().1 + 20;
        // Behind this the last unit may have begun.
        let last = bytes.len() * 17 / 20;
        let closed = |place: usize| [&bytes[..place], &[0xFF, 0xD9]].concat();
        let places = || (header..last).step_by(37);
        let missed = places().filter(|&place| {
            let closed = closed(place);
            is_cut_off(&closed) || check_blocks(&closed).is_err()
        });
        let missed = missed.count();
        // A progressive image may end between two scans: it is only coarser then.
        let allowed = if progressive { places().count() / 10 } else { 0 };
        assert!(missed + allowed >= places().count(), "{progressive} {restart}: {missed}");
    }
}

#[test]
fn announced_restarts_that_never_come_are_no_damage() {
    let pixels = sample::pixels(64, 32, 2).into_raw();
    let plain = jpeg(&pixels, (64, 32), ColorType::Rgb, |_| {});
    let announcement = [0xFF, 0xDD, 0, 4, 0, 3];
    let announced = [&plain[..2], &announcement, &plain[2..]].concat();
    assert!(check_blocks(&announced).is_ok());
}

#[test]
fn kinds_that_are_not_known_are_left_to_the_decoder() {
    let pixels = sample::pixels(16, 16, 2).into_raw();
    let plain = jpeg(&pixels, (16, 16), ColorType::Rgb, |_| {});
    let frame = plain.windows(2).position(|two| two == [0xFF, 0xC0]).unwrap();
    let mut arithmetic = plain.clone();
    arithmetic[frame + 1] = 0xC9;
    let mut twelve_bits = plain.clone();
    twelve_bits[frame + 4] = 12;
    let mut huge = plain.clone();
    huge[frame + 5..frame + 9].fill(0xFF);
    for bytes in [arithmetic, twelve_bits, huge, b"\xff\xd8\xff\xd9".to_vec(), b"\xff\xd8".to_vec()] {
        assert!(check_blocks(&bytes).is_ok());
    }
}

#[test]
fn a_great_many_scans_are_refused() {
    let pixels = sample::pixels(8, 8, 2);
    let grey: Vec<u8> = pixels.pixels().map(|pixel| pixel.0[0]).collect();
    let plain = jpeg(&grey, (8, 8), ColorType::Luma, |_| {});
    let scan = header_segments(&plain).last().unwrap().1;
    let (header, data) = plain.split_at(scan);
    let data = &data[..data.len() - 2];
    let many = [header, &data.repeat(MAX_SCANS + 1), &[0xFF, 0xD9]].concat();
    assert!(check_blocks(&many).unwrap_err().to_string().contains("scans"));
}
