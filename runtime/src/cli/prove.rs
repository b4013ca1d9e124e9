//! `prove`: the model is run again on bundles of evidence.

use serde::Serialize;

use super::args::ProveArgs;
use super::exit::Exit;
use super::print::{print_text, say};
use super::{environment, model};
use crate::evidence::{Bundle, Proof, prove as prove_bundle};

#[derive(Serialize)]
struct Line<'a> {
    bundle: String,
    #[serde(flatten)]
    proof: &'a Proof,
}

pub(super) fn prove(args: &ProveArgs) -> anyhow::Result<Exit> {
    let kernels = environment::kernels()?;
    let model = model::load(&args.model)?;
    let (mut proven, mut read) = (true, 0);
    let mut last_fault = None;
    for folder in &args.bundles {
        let bundle = match Bundle::read(folder) {
            Ok(bundle) => bundle,
            // One bundle that cannot be read must not hide what the others prove.
            Err(fault) => {
                if let Some(earlier) = last_fault.replace(fault) {
                    say(format_args!("error: {earlier}"));
                }
                continue;
            }
        };
        read += 1;
        let proof = prove_bundle(&bundle, &model, kernels)?;
        proven &= proof.proven;
        let name = folder.display().to_string();
        if args.json {
            print_text(serde_json::to_string(&Line { bundle: name, proof: &proof })?)?;
        } else {
            print_text(table(&name, &proof))?;
        }
    }
    match last_fault {
        Some(fault) if read == 0 => Err(fault.into()),
        Some(fault) => {
            say(format_args!("error: {fault}"));
            Ok(Exit::Failed)
        }
        None if proven => Ok(Exit::Ok),
        None => Ok(Exit::Failed),
    }
}

fn table(name: &str, proof: &Proof) -> String {
    let verdict = if proof.proven { "proven" } else { "NOT proven" };
    let step = |step: &crate::evidence::ProofStep| {
        format!("\n  {}  {}: {}", if step.holds { "ok  " } else { "FAIL" }, step.what, step.found)
    };
    format!("{name}: {verdict}{}", proof.steps.iter().map(step).collect::<String>())
}
