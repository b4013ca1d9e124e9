//! `bench`: how long a frame takes.

use std::fmt::Write;
use std::hint::black_box;
use std::time::Instant;

use anyhow::Context;
use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use serde::Serialize;

use comet_engine::explain::MaskStatistics;
use comet_engine::image::decode_rgb;
use comet_engine::model::ModelFile;
use comet_engine::prediction::softmax;
use comet_engine::run::{ENGINE, Options, PredictorSession, Session};

use super::args::BenchArgs;
use super::exit::Exit;
use super::print::{print_json, print_text, say};
use super::{environment, model};
use crate::source::SyntheticScene;

/// Runs before the measured ones: caches, clocks and memory settle.
const WARM_UP: u32 = 10;

#[derive(Serialize)]
struct Report {
    median_ms: f64,
    p95_ms: f64,
    n: u32,
    threads: usize,
    engine: &'static str,
    /// What multiplies the matrices: a family of integer kernels, or tract.
    kernel: String,
    /// Medians in milliseconds; decoding is not part of `median_ms`.
    stages: Stages,
    model: String,
    /// Microseconds of every kernel call, if asked for and if the model runs on integer kernels as a whole.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    layers: Vec<(String, f64)>,
}

#[derive(Serialize)]
struct Stages {
    decode: f64,
    preprocess: f64,
    inference: f64,
    postprocess: f64,
}

pub(super) fn bench(args: &BenchArgs) -> anyhow::Result<Exit> {
    let engine = environment::engine(args.threads.count())?;
    let model = model::load(&args.model)?;
    let mut session = Session::with_options(&model, engine)?;
    let report = measure(&model, &mut session, args, engine)?;
    if args.json {
        print_json(&report)?;
    } else {
        print_text(table(&report))?;
        if args.layers && report.layers.is_empty() {
            say(
                "no kernel times: integer kernels do not run this model as a whole (comet-edge inspect --plan)",
            );
        }
    }
    Ok(Exit::Ok)
}

fn measure(
    model: &ModelFile,
    session: &mut Session,
    args: &BenchArgs,
    engine: Options,
) -> anyhow::Result<Report> {
    let image = SyntheticScene::default().draw(0);
    let jpeg = encode(&image)?;
    let iterations = args.iterations;
    let mut series: [Vec<f64>; 5] = Default::default();
    let predictor = if args.predictor { Some(PredictorSession::with_options(model, engine)?) } else { None };
    for run in 0..iterations.saturating_add(WARM_UP) {
        let times = one_frame(session, predictor.as_ref(), &image, &jpeg)?;
        if run >= WARM_UP {
            for (samples, time) in series.iter_mut().zip(times) {
                samples.push(time);
            }
        }
    }
    let [total, decode, preprocess, inference, postprocess] = &mut series;
    Ok(Report {
        median_ms: quantile(total, 0.5),
        p95_ms: quantile(total, 0.95),
        n: iterations,
        threads: session.threads(),
        engine: ENGINE,
        kernel: session.plan().kernels.clone(),
        layers: layers(session, args)?,
        stages: Stages {
            decode: quantile(decode, 0.5),
            preprocess: quantile(preprocess, 0.5),
            inference: quantile(inference, 0.5),
            postprocess: quantile(postprocess, 0.5),
        },
        model: model.name().to_owned(),
    })
}

/// Name and median microseconds of every kernel call; nothing unless asked for.
fn layers(session: &Session, args: &BenchArgs) -> anyhow::Result<Vec<(String, f64)>> {
    if !args.layers {
        return Ok(Vec::new());
    }
    let tensor = session.preprocess().tensor(&SyntheticScene::default().draw(0));
    let mut layers: Vec<(String, Vec<f64>)> = Vec::new();
    for _ in 0..args.iterations {
        for (index, (name, time)) in session.profile(&tensor)?.into_iter().enumerate() {
            if index == layers.len() {
                layers.push((name, Vec::new()));
            }
            if let Some((_, samples)) = layers.get_mut(index) {
                samples.push(time.as_secs_f64() * 1e6);
            }
        }
    }
    Ok(layers.into_iter().map(|(name, mut samples)| (name, quantile(&mut samples, 0.5))).collect())
}

/// Milliseconds: whole, decode, preprocess, inference, postprocess; of the predictor alone, if it is given.
fn one_frame(
    session: &mut Session,
    predictor: Option<&PredictorSession>,
    image: &RgbImage,
    jpeg: &[u8],
) -> anyhow::Result<[f64; 5]> {
    let started = Instant::now();
    black_box(decode_rgb(jpeg, "drawn image")?);
    let decoded = Instant::now();
    let tensor = session.preprocess().tensor(image);
    let prepared = Instant::now();
    let (logits, mask) = match predictor {
        Some(predictor) => (predictor.run(&tensor)?, None),
        None => {
            let explanation = session.run(&tensor)?;
            (explanation.logits, Some(explanation.mask))
        }
    };
    let inferred = Instant::now();
    black_box((softmax(&logits), mask.as_ref().map(MaskStatistics::of)));
    let ended = Instant::now();
    let ms = |from: Instant, to: Instant| 1000.0 * (to - from).as_secs_f64();
    Ok([
        ms(decoded, ended),
        ms(started, decoded),
        ms(decoded, prepared),
        ms(prepared, inferred),
        ms(inferred, ended),
    ])
}

fn encode(image: &RgbImage) -> anyhow::Result<Vec<u8>> {
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, 90)
        .encode_image(image)
        .context("the drawn image cannot be encoded")?;
    Ok(jpeg)
}

/// The sample at `share` of the sorted samples (nearest rank), to the microsecond.
fn quantile(samples: &mut [f64], share: f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    let rank = (share * samples.len() as f64).ceil() as usize;
    let sample = samples.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN);
    (sample * 1000.0).round() / 1000.0
}

fn table(report: &Report) -> String {
    let Report { median_ms, p95_ms, n, threads, engine, kernel, stages, model, layers } = report;
    let mut text = format!(
        "{model}: median {median_ms:.2} ms, p95 {p95_ms:.2} ms (n = {n}, {threads} threads, {engine}, kernel {kernel})\n\
         preprocess {:.2} ms, inference {:.2} ms, postprocess {:.2} ms; decoding a 640x480 JPEG {:.2} ms",
        stages.preprocess, stages.inference, stages.postprocess, stages.decode,
    );
    for (name, microseconds) in layers {
        // Names come from the file: a control character must not reach a terminal. Writing to a String cannot fail.
        let name: String = name.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        let _ = write!(text, "\n{microseconds:9.1} us  {name}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_samples() {
        let mut samples: Vec<f64> = (1..=20).rev().map(f64::from).collect();
        assert_eq!(quantile(&mut samples, 0.5), 10.0);
        assert_eq!(quantile(&mut samples, 0.95), 19.0);
        assert_eq!(quantile(&mut [7.0], 0.5), 7.0);
        assert!(quantile(&mut [], 0.5).is_nan());
    }
}
