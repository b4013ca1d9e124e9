//! JPEG frames as bad cables, cameras and people make them: never a panic, always an image or an error with a name.

use std::fs;
use std::io::Cursor;
use std::time::{Duration, Instant};

use comet_edge::source::{Frame, MjpegReader, Pixels};
use comet_tests::random::SplitMix64;
use comet_tests::repository;
use image::ImageFormat;
use image::codecs::jpeg::JpegEncoder;

/// The longest segment of a JPEG.
const SEGMENT: usize = 64 << 10;

/// Damaged frames a test makes; COMET_EDGE_LONG_TESTS=1 makes a million of them.
fn count() -> u64 {
    if std::env::var_os("COMET_EDGE_LONG_TESTS").is_some() { 1_000_000 } else { 20_000 }
}

/// Twenty shipped photographs as JPEG, of several qualities.
fn photographs() -> anyhow::Result<Vec<Vec<u8>>> {
    let mut files: Vec<_> = Vec::new();
    for class in fs::read_dir(repository().join("calib/hands/images"))? {
        let mut images: Vec<_> = fs::read_dir(class?.path())?.flatten().map(|entry| entry.path()).collect();
        images.sort();
        files.extend(images.into_iter().take(2));
    }
    files.sort();
    let mut photographs = Vec::new();
    for (number, file) in files.iter().take(20).enumerate() {
        let image = image::load_from_memory_with_format(&fs::read(file)?, ImageFormat::Png)?.into_rgb8();
        let mut jpeg = Cursor::new(Vec::new());
        JpegEncoder::new_with_quality(&mut jpeg, 40 + 3 * number as u8).encode_image(&image)?;
        photographs.push(jpeg.into_inner());
    }
    assert_eq!(photographs.len(), 20);
    Ok(photographs)
}

/// One to eight places are changed; sometimes a part is cut out, doubled, or the end is lost.
fn damage(bytes: &[u8], random: &mut SplitMix64) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=random.below(8) {
        let place = random.below(bytes.len().max(1));
        let length = random.below(40).min(bytes.len().saturating_sub(place));
        match random.below(7) {
            0 | 1 => flip(&mut bytes, place, 1 << random.below(8)),
            // Headers are where sizes, tables and counts stand.
            2 => flip(&mut bytes, place.min(620), random.below(256) as u8),
            3 => set(&mut bytes, place, [0x00, 0xff, 0xd8, 0xd9, 0xda, 0xc4][random.below(6)]),
            4 => drop(bytes.drain(place..place + length)),
            5 => {
                let part = bytes.get(place..place + length).unwrap_or_default().to_vec();
                bytes.splice(place..place, part);
            }
            _ => bytes.truncate(place.max(1)),
        }
    }
    bytes
}

fn flip(bytes: &mut [u8], place: usize, bits: u8) {
    if let Some(byte) = bytes.get_mut(place) {
        *byte ^= bits;
    }
}

fn set(bytes: &mut [u8], place: usize, value: u8) {
    if let Some(byte) = bytes.get_mut(place) {
        *byte = value;
    }
}

#[test]
fn damaged_photographs_never_make_a_decoder_panic() -> anyhow::Result<()> {
    let photographs = photographs()?;
    let mut random = SplitMix64::new(7);
    let (mut decoded, mut refused, mut slowest) = (0u64, 0u64, Duration::ZERO);
    for number in 0..count() {
        let bytes = damage(&photographs[number as usize % photographs.len()], &mut random);
        let image = Pixels::Encoded(bytes);
        let frame = Frame { source: "camera0".into(), number, image, captured: Instant::now() };
        let begun = Instant::now();
        match frame.decode() {
            Ok(_) => decoded += 1,
            // A panic would be caught and reported as damage of the frame: here it is a fault of the decoder.
            Err(fault) => {
                assert!(!fault.to_string().contains("panicked"), "frame {number}: {fault}");
                refused += 1;
            }
        }
        slowest = slowest.max(begun.elapsed());
    }
    println!("{decoded} decoded, {refused} refused, the slowest took {slowest:?}");
    assert!(decoded > 0 && refused > 0, "{decoded} decoded, {refused} refused");
    Ok(())
}

#[test]
fn a_stream_of_damaged_photographs_comes_back_into_step() -> anyhow::Result<()> {
    let photographs = photographs()?;
    let mut random = SplitMix64::new(8);
    let rounds = count() / 200;
    for round in 0..rounds {
        let mut stream = Vec::new();
        for photograph in &photographs {
            stream.extend(damage(photograph, &mut random));
        }
        let last = &photographs[round as usize % photographs.len()];
        // A wrong length of a segment swallows up to 64 KiB of images.
        let damaged = stream.len();
        while stream.len() < damaged + SEGMENT {
            stream.extend_from_slice(last);
        }
        stream.extend_from_slice(last);
        let mut reader = MjpegReader::new(&stream[..]);
        let mut found = None;
        for _ in 0..100_000 {
            match reader.next_image() {
                Ok(Some(image)) => found = Some(image),
                Ok(None) => break,
                Err(_) => {}
            }
        }
        assert!(found.as_ref() == Some(last), "round {round}: the last image was not found");
    }
    Ok(())
}
