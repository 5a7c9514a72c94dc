//! Latency of one connection. The targets take turns of a few milliseconds: whatever else the machine does changes more from
//! one second to the next than what is told apart here, and meets all of them alike so.

use std::{
    array,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use memchr::memmem;

use crate::{
    Outcome,
    measure::{Plan, Target, median},
    request::{self, TIMEOUT},
};

/// Calls of a turn. One before them is not counted: it finds what the target before it has left in the caches.
pub const CALLS: usize = 50;
/// None follows itself, and each follows each of the others as often.
const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0], [1, 0, 2], [0, 2, 1]];
/// A caller does at least this long something else between two calls. One that asked again at once would wait for what the
/// proxy still does for the call before: settles it, and writes its line. That is its throughput.
pub const PAUSE: Duration = Duration::from_micros(100);
/// Parts of the time that are told apart, to judge how far the whole can be trusted.
pub const PARTS: u32 = 8;

/// Microseconds of each call of each target.
type Took = [Vec<f64>; 3];

/// What calls took, in each part of the time, and its medians.
pub struct Turns {
    pause: Duration,
    parts: Vec<(Took, [f64; 3])>,
}

/// Medians, in microseconds.
pub struct Latency {
    pub medians: [f64; 3],
    parts: Vec<[f64; 3]>,
}

impl Latency {
    /// The lowest and highest of a figure over the parts of the time.
    pub fn spread(&self, figure: impl Fn(&[f64; 3]) -> f64) -> (f64, f64) {
        let figures = self.parts.iter().map(figure);
        figures.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)))
    }
}

impl Turns {
    /// With a pause between two calls.
    pub fn with(pause: Duration) -> Self {
        Self { pause, parts: Vec::new() }
    }

    /// Asks all targets the same in turn, one call after the other: all parts together last as long as the rounds of one.
    pub fn take_part(&mut self, targets: &[Target<'_>; 3], plan: Plan) -> Outcome<()> {
        let mut callers = Vec::new();
        for target in targets {
            let caller = Caller::connect(target.address);
            callers.push(caller.map_err(|error| format!("{}: {error}", target.name))?);
        }
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        take_turns(&mut callers, self.pause, seconds(plan.warm_up))?;
        let took = take_turns(&mut callers, self.pause, seconds(plan.rounds * plan.seconds) / PARTS)?;
        let medians = took.each_ref().map(|figures| median(figures.clone()));
        let told = targets.iter().zip(medians).map(|(target, median)| format!("{} {median:.1}", target.name));
        let told = told.collect::<Vec<_>>().join(", ");
        self.parts.push((took, medians));
        eprintln!("latency with {:?} between calls, part {}: {told} us", self.pause, self.parts.len());
        Ok(())
    }

    pub fn latency(self) -> Latency {
        let all = |i: usize| self.parts.iter().flat_map(|(took, _)| took[i].iter().copied()).collect();
        let medians = array::from_fn(|i| median(all(i)));
        Latency { medians, parts: self.parts.into_iter().map(|(_, medians)| medians).collect() }
    }
}

fn take_turns(callers: &mut [Caller], pause: Duration, time: Duration) -> Outcome<Took> {
    let mut took: Took = array::from_fn(|_| Vec::new());
    let begin = Instant::now();
    while begin.elapsed() < time {
        for order in ORDERS {
            for i in order {
                callers[i].call()?;
                for _ in 0..CALLS {
                    spin(pause);
                    let start = Instant::now();
                    callers[i].call()?;
                    took[i].push(start.elapsed().as_secs_f64() * 1e6);
                }
            }
        }
    }
    Ok(took)
}

/// Sleep would be longer, and the processor would sleep too.
fn spin(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        std::hint::spin_loop();
    }
}

/// A connection that is kept.
struct Caller {
    connection: TcpStream,
    request: Vec<u8>,
    reply: Vec<u8>,
}

impl Caller {
    fn connect(target: SocketAddr) -> Outcome<Self> {
        let connection = TcpStream::connect_timeout(&target, TIMEOUT)?;
        connection.set_nodelay(true)?;
        connection.set_read_timeout(Some(TIMEOUT))?;
        let body = request::chat(false).to_string();
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: {target}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            request::CHAT,
            body.len()
        );
        Ok(Self { connection, request: (head + &body).into(), reply: vec![0; 64 * 1024] })
    }

    /// Sends the request and reads its answer to the end.
    fn call(&mut self) -> Outcome<()> {
        self.connection.write_all(&self.request)?;
        let mut there = 0;
        loop {
            match self.connection.read(&mut self.reply[there..])? {
                0 => return Err("the connection ended".into()),
                more => there += more,
            }
            match whole(&self.reply[..there])? {
                Some(length) if there == length => return Ok(()),
                Some(length) if there > length => return Err("more than an answer".into()),
                _ => {}
            }
        }
    }
}

/// The length of an answer, once its head is there.
fn whole(reply: &[u8]) -> Outcome<Option<usize>> {
    const LENGTH: &[u8] = b"\r\ncontent-length: ";
    let Some(end) = memmem::find(reply, b"\r\n\r\n") else { return Ok(None) };
    let head = &reply[..end];
    if !head.starts_with(b"HTTP/1.1 200 ") {
        return Err(String::from_utf8_lossy(reply).into());
    }
    let at = memmem::find(head, LENGTH).ok_or("an answer without a length")? + LENGTH.len();
    let digits = head[at..].split(|byte| *byte == b'\r').next().unwrap_or_default();
    Ok(Some(end + 4 + std::str::from_utf8(digits)?.parse::<usize>()?))
}
