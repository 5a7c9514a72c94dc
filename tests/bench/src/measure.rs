//! Loads the targets in turn, round after round, so that what else the machine does meanwhile meets
//! all of them.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::{Outcome, process::Running, wrk::Load};

/// How often and how long.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub rounds: u32,
    pub seconds: u32,
    pub warm_up: u32,
}

/// Something that answers.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    pub name: &'static str,
    pub address: SocketAddr,
    pub process: &'a Running,
}

/// One target in one round.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub per_second: f64,
    /// Microseconds.
    pub latency: f64,
    /// CPU time of the target for a request, in microseconds.
    pub cpu: f64,
    /// The share of its core that the target took.
    pub busy: f64,
}

/// All rounds, for the upstream itself, the bare proxy and ours.
pub struct Measured(Vec<[Sample; 3]>);

impl Measured {
    /// The medians of one figure.
    pub fn medians(&self, figure: impl Fn(&Sample) -> f64) -> [f64; 3] {
        [0, 1, 2].map(|i| median(self.0.iter().map(|round| figure(&round[i])).collect()))
    }

    /// The lowest and highest of one figure.
    pub fn spread(&self, figure: impl Fn(&Sample) -> f64) -> [(f64, f64); 3] {
        [0, 1, 2].map(|i| {
            let figures = self.0.iter().map(|round| figure(&round[i]));
            figures.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)))
        })
    }
}

/// Runs one measure.
pub fn measure(name: &str, load: Load<'_>, targets: &[Target<'_>; 3], plan: Plan) -> Outcome<Measured> {
    let mut rounds = Vec::new();
    for round in 1..=plan.rounds {
        let samples = targets.each_ref().map(|target| sample(load, target, plan));
        let [direct, bare, ours] = samples;
        let samples = [direct?, bare?, ours?];
        for (target, sample) in targets.iter().zip(&samples) {
            eprintln!(
                "{name}, round {round}, {:6}: {:8.0}/s, p50 {:6.0} us, {:3.0} % busy",
                target.name,
                sample.per_second,
                sample.latency,
                sample.busy * 100.0
            );
        }
        rounds.push(samples);
    }
    Ok(Measured(rounds))
}

/// Runs one measure of one target; the medians are over all rounds.
pub fn measure_one(name: &str, load: Load<'_>, target: &Target<'_>, plan: Plan) -> Outcome<Sample> {
    let samples = (0..plan.rounds).map(|_| sample(load, target, plan)).collect::<Outcome<Vec<Sample>>>()?;
    let of = |figure: fn(&Sample) -> f64| median(samples.iter().map(figure).collect());
    let middle = Sample {
        per_second: of(|s| s.per_second),
        latency: of(|s| s.latency),
        cpu: of(|s| s.cpu),
        busy: of(|s| s.busy),
    };
    eprintln!("{name}: {:8.0}/s, {:6.1} us of CPU each", middle.per_second, middle.cpu);
    Ok(middle)
}

fn sample(load: Load<'_>, target: &Target<'_>, plan: Plan) -> Outcome<Sample> {
    if plan.warm_up > 0 {
        load.run(target.address, plan.warm_up)?;
    }
    let (cpu, start) = (target.process.cpu()?, Instant::now());
    let figures =
        load.run(target.address, plan.seconds).map_err(|error| format!("{}: {error}", target.name))?;
    let (cpu, elapsed) = (target.process.cpu()?.saturating_sub(cpu), start.elapsed());
    Ok(Sample {
        per_second: figures.requests / figures.elapsed.as_secs_f64(),
        latency: micros(figures.median),
        cpu: micros(cpu) / figures.requests,
        busy: cpu.as_secs_f64() / elapsed.as_secs_f64(),
    })
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// The middle one, or the mean of the two in the middle.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    match figures.len() {
        0 => f64::NAN,
        n if n % 2 == 0 => f64::midpoint(figures[middle - 1], figures[middle]),
        _ => figures[middle],
    }
}
