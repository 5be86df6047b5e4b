//! `granule stream`: bins of a signal as they come, each answered at once.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use granule::data::decoding::{BinPlace, Edges};
use granule::device::{DeviceSpec, OpenDevice};
use granule::models::{ModelFile, Sample, SlidingWindow, Task};

use super::show::{Form, Item};
use super::{Answer, Model, Target, on, open};
use crate::args;
use crate::failure::{Hinted, Usage};
use crate::output::{self, counted, note};

/// The longest line that is read: a bin of some ten thousand channels.
const LONGEST: u64 = 1 << 20;

const BIN: &str = "a line is a bin: a number for each channel, apart by commas or blanks, or a list of them; names of columns are none";

/// What failed where an answer cannot be written.
const ANSWERS: &str = "cannot write the answers";

pub fn run(args: &args::Stream) -> anyhow::Result<()> {
    let target = Target::find(&args.model)?;
    let file = ModelFile::load(&target.model)?;
    let device = open(args.device.as_ref(), DeviceSpec::Cpu)?;
    on(&device, || stream(args, &target, &file, &device))
}

fn stream(
    args: &args::Stream,
    target: &Target,
    file: &ModelFile,
    device: &OpenDevice,
) -> anyhow::Result<()> {
    if let Task::Trials { .. } | Task::Recording { .. } = file.task {
        return Err(Usage::new("the model does not decode bins of a signal").into());
    }
    let model = Model::of(file, device).map_err(|error| error.in_file(&target.model))?;
    let window = window(args, target, file)?;
    let mut decoder = Decoder {
        form: if args.json { Form::Json } else { Form::Csv },
        top: args.top,
        times: Times::new(),
        trial: 0,
        header: None,
        model,
        window,
    };
    decoder.warm_up(args.header)?;
    match args.listen {
        None => {
            let stdin = io::stdin().lock();
            let stdout = io::stdout().lock();
            let done = decoder.answer(stdin, stdout);
            decoder.times.tell();
            match done {
                // The reader of the answers has what it wanted.
                Err(error) if is_gone(&error) => Ok(()),
                done => done,
            }
        }
        Some(address) => listen(&mut decoder, address),
    }
}

/// The window of the model, where the answer for a bin needs `after` bins after it.
fn window(args: &args::Stream, target: &Target, file: &ModelFile) -> anyhow::Result<SlidingWindow> {
    let decoding = target.config().and_then(|config| config.data.decoding);
    let of_run = decoding.as_ref().map(|decoding| decoding.window.after);
    if let (Some(after), Some(own)) = (args.after, of_run)
        && after != own
    {
        let text = format!("--after {after}, and the run has data.decoding.window.after = {own}");
        return Err(Usage::new(text).hint("leave --after away").into());
    }
    let after = of_run.or(args.after).unwrap_or(0);
    let whole = decoding
        .as_ref()
        .is_some_and(|decoding| decoding.edges == Edges::LeaveOut);
    let window =
        SlidingWindow::new(&file.input, after).map_err(|error| Usage::new(error.to_string()))?;
    if decoding.is_none() && args.after.is_none() {
        note(
            "note: a model file alone does not say how many bins of its window come after the one that is decoded: none, \
              unless --after says so",
        );
    }
    if let Some(decoding) = &decoding {
        let of_trials = decoding.bins.is_some() || decoding.sum > 1;
        if of_trials || window.steps() != decoding.window.steps() {
            return Err(Usage::new(format!(
                "the model answers for whole trials, of which it sees {}, not for bins as they come",
                counted(window.steps(), "step")
            ))
            .hint("`granule predict RUN recording:PATH` answers trials")
            .into());
        }
        if let Some(deviation) = decoding.smoothing {
            return Err(Usage::new(format!(
                "the model has learnt from counts smoothed over {deviation} s to both sides (data.decoding.smoothing), \
                 which bins that come one by one are not"
            ))
            .hint("train without smoothing for use as bins come")
            .into());
        }
        if whole {
            note(&format!(
                "note: the first answer of a trial comes with its bin {}, as windows that reach beyond an edge are left out",
                window.steps() - 1
            ));
        }
        if let Some(width) = decoding.bin_width {
            note(&format!(
                "note: a line is a bin of {width} s, as in training"
            ));
        }
        if decoding.holds_out() {
            note(&format!(
                "note: a line has the {} that the model sees, without those that are held out",
                counted(window.channels(), "channel")
            ));
        } else if decoding.channels.is_some() {
            note(&format!(
                "note: a line has the {} that data.decoding.channels chooses",
                counted(window.channels(), "channel")
            ));
        }
    }
    if after > 0 {
        note(&format!(
            "note: the model sees {} ahead, so that the answer for a bin comes after those",
            counted(after, "bin")
        ));
    }
    Ok(window.whole(whole))
}

/// What turns lines into answers.
struct Decoder {
    model: Model,
    window: SlidingWindow,
    form: Form,
    top: usize,
    times: Times,
    trial: usize,
    /// The names of the columns, where they are asked for.
    header: Option<String>,
}

impl Decoder {
    /// The first answer takes longer than others: one that nobody sees. It tells the names of the columns.
    fn warm_up(&mut self, header: bool) -> anyhow::Result<()> {
        let blank = Sample::Values(self.window.values());
        let answers = self.model.answer(&[blank], self.top)?;
        if let (true, Some(answer)) = (header, answers.first()) {
            self.header = self.form.heading(None, answer, self.place())?;
        }
        Ok(())
    }

    fn place(&self) -> Item {
        Item::Place(BinPlace {
            trial: Some(self.trial),
            bin: Some(self.window.bin()),
        })
    }

    /// Answers lines until there are no more; an empty line ends a trial.
    fn answer(&mut self, lines: impl Read, mut answers: impl Write) -> anyhow::Result<()> {
        let mut lines = BufReader::new(lines);
        let (mut line, mut number) = (Vec::new(), 0_usize);
        let mut values = Vec::new();
        self.trial = 0;
        if let Some(header) = &self.header {
            writeln!(answers, "{header}")
                .and_then(|()| answers.flush())
                .context(ANSWERS)?;
        }
        self.window.begin();
        loop {
            line.clear();
            number += 1;
            let read = lines.by_ref().take(LONGEST).read_until(b'\n', &mut line);
            let read = read.context("cannot read the bins")?;
            let came = Instant::now();
            let text = std::str::from_utf8(&line);
            let text = text.with_context(|| format!("line {number} is not text"))?;
            let text = match number {
                // As some spreadsheets begin a file.
                1 => text.trim_start_matches('\u{feff}').trim(),
                _ => text.trim(),
            };
            if text.is_empty() && (read as u64) < LONGEST {
                self.end(&mut answers)?;
                match read {
                    0 => return Ok(()),
                    _ => continue,
                }
            }
            if read as u64 == LONGEST {
                bail!("line {number} is longer than {LONGEST} bytes");
            }
            parse(text, number, &mut values)?;
            let pushed = self.window.push(&values);
            let pushed = pushed.with_context(|| format!("line {number}"))?;
            if let Some(window) = pushed {
                let answer = self.model.answer(&[Sample::Values(window)], self.top);
                let answer = answer.with_context(|| format!("line {number}"))?;
                self.write(&answer, &mut answers)?;
                self.times.add(came.elapsed());
            }
        }
    }

    /// The answers for the last bins of a trial, which wait for bins that do not come.
    fn end(&mut self, answers: &mut impl Write) -> anyhow::Result<()> {
        let begun = self.window.is_begun();
        while let Some(window) = self.window.end() {
            let answer = self.model.answer(&[Sample::Values(window)], self.top)?;
            self.write(&answer, answers)?;
        }
        self.trial += usize::from(begun);
        Ok(())
    }

    fn write(&mut self, answer: &[Answer], answers: &mut impl Write) -> anyhow::Result<()> {
        for answer in answer {
            let line = self.form.line(None, self.place(), answer)?;
            writeln!(answers, "{line}").context(ANSWERS)?;
        }
        answers.flush().context(ANSWERS)
    }
}

/// Numbers apart by commas or blanks, or a list of them as in JSON.
fn parse(text: &str, line: usize, values: &mut Vec<f32>) -> Result<(), Hinted> {
    values.clear();
    let inner = match text.strip_prefix('[') {
        Some(list) => list.strip_suffix(']').ok_or_else(|| {
            Hinted::new(
                format!("line {line} begins with \"[\" and does not end with \"]\""),
                BIN,
            )
        })?,
        None => text,
    };
    let by_comma = inner.contains(',');
    let words = inner.split(|c: char| {
        if by_comma {
            c == ','
        } else {
            c.is_whitespace()
        }
    });
    for word in words
        .map(str::trim)
        .filter(|word| by_comma || !word.is_empty())
    {
        let value = word.parse::<f32>().ok().filter(|value| value.is_finite());
        let value = value.ok_or_else(|| {
            let word = granule::io::words::shortened(word);
            let text = format!(
                "line {line}, value {}: \"{}\" is not a number",
                values.len() + 1,
                output::printable(&word)
            );
            Hinted::new(text, BIN)
        })?;
        values.push(value);
    }
    Ok(())
}

/// Serves one connection after the other, until the command is ended.
fn listen(decoder: &mut Decoder, address: SocketAddr) -> anyhow::Result<()> {
    let listener =
        TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))?;
    let address = listener.local_addr().unwrap_or(address);
    note(&format!(
        "listening on {address}, one connection at a time; Ctrl-C ends it"
    ));
    loop {
        let (connection, peer) = match listener.accept() {
            Ok(accepted) => accepted,
            // The peer went before it was heard.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => return Err(error).context("cannot accept a connection"),
        };
        decoder.times = Times::new();
        let done = serve(decoder, connection);
        decoder.times.tell();
        match done {
            Err(error) if !is_gone(&error) => output::warn(&format!("{peer}: {error:#}")),
            _ => {}
        }
    }
}

/// An error is told to both sides.
fn serve(decoder: &mut Decoder, connection: TcpStream) -> anyhow::Result<()> {
    connection.set_nodelay(true)?;
    let answers = connection.try_clone()?;
    let done = decoder.answer(connection, &answers);
    if let Err(error) = &done
        && !is_gone(error)
    {
        let text = match decoder.form {
            Form::Json => {
                let fields = serde_json::json!({"message": format!("{error:#}")});
                serde_json::to_string(&output::named("error", fields))?
            }
            _ => format!("error: {error:#}"),
        };
        // The peer may have gone.
        let _ = writeln!(&answers, "{text}");
    }
    done
}

/// Whether the other side has closed the stream.
fn is_gone(error: &anyhow::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    let kind = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<io::Error>());
    kind.is_some_and(|error| {
        [BrokenPipe, ConnectionAborted, ConnectionReset].contains(&error.kind())
    })
}

/// How long answers took, from the end of a line to that of its answer.
struct Times {
    /// How many took so many microseconds.
    counts: Vec<u64>,
    total: u64,
    longest: Duration,
}

impl Times {
    /// Up to 100 ms are told apart.
    fn new() -> Self {
        Self {
            counts: vec![0; 100_000],
            total: 0,
            longest: Duration::ZERO,
        }
    }

    fn add(&mut self, time: Duration) {
        let place = (time.as_micros() as usize).min(self.counts.len() - 1);
        if let Some(count) = self.counts.get_mut(place) {
            *count += 1;
        }
        self.total += 1;
        self.longest = self.longest.max(time);
    }

    /// The time in which a share of the answers came, ms.
    fn within(&self, share: f64) -> f64 {
        let mut left = (share * self.total as f64).ceil() as u64;
        let place = self.counts.iter().position(|count| {
            left = left.saturating_sub(*count);
            left == 0
        });
        place.unwrap_or(0) as f64 / 1e3
    }

    fn tell(&self) {
        if self.total > 0 {
            note(&format!(
                "{} answered: half of them within {:.2} ms, 99 % within {:.2} ms, the slowest in {:.2} ms",
                counted(self.total as usize, "bin"),
                self.within(0.5),
                self.within(0.99),
                self.longest.as_secs_f64() * 1e3
            ));
        }
    }
}
