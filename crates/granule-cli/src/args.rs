use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::builder::styling::{AnsiColor, Styles};
use clap::builder::{PathBufValueParser, PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use granule::data::DatasetSpec;
use granule::data::decoding::{ANOMALIES, Anomaly};
use granule::device::DeviceSpec;
use granule::dynamics::solver::SolverKind;
use granule::io::ByteSize;
use granule::io::image::{Background, Resize};
use granule::io::path::expand;
use granule::models::InputShape;
use granule::simulate::analysis::ANALYSES;
use granule::train::importance::By;
use granule::train::probe::PROBES;

use crate::help;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// Train, evaluate and use image classifiers, and simulate and train neural dynamics, on any CPU or GPU
#[derive(Debug, Parser)]
#[command(
    name = "granule",
    bin_name = "granule",
    version,
    styles = STYLES,
    max_term_width = 100,
    arg_required_else_help = true,
    after_help = help::GRANULE
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,

    /// Memory to take in all, as 2GiB or 512M: what needs more is refused before it is loaded
    /// [default: $GRANULE_MEMORY, else what the machine has free]
    #[arg(long, value_name = "SIZE", global = true, help_heading = "Memory")]
    pub memory: Option<ByteSize>,

    /// Tell more on standard error: device, files, settings, memory and the time of each phase; -vv every
    /// file and every key
    #[arg(long, short, global = true, action = clap::ArgAction::Count, help_heading = "Output")]
    pub verbose: u8,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train a model and write a run folder
    #[command(after_long_help = help::train())]
    Train(Box<Train>),
    /// Measure a trained model on a test set
    #[command(after_long_help = help::EVAL)]
    Eval(Eval),
    /// Tell unusual activity by a run that learnt to reconstruct usual one
    #[command(after_long_help = help::DETECT)]
    Detect(Detect),
    /// Measure which channels or lags a decoder uses: how much worse it is where they are shuffled
    #[command(after_long_help = help::IMPORTANCE)]
    Importance(Importance),
    /// Measure what each output of a decoder answers to: its slopes by every channel at every lag
    #[command(after_long_help = help::RECEPTIVE_FIELDS)]
    ReceptiveFields(ReceptiveFields),
    /// Classify images or arrays with a trained model
    #[command(after_long_help = help::PREDICT)]
    Predict(Predict),
    /// Decode bins of a signal as they come, from standard input or a socket
    #[command(after_long_help = help::STREAM)]
    Stream(Stream),
    /// Write a model for PyTorch, ONNX or NumPy
    #[command(after_long_help = help::EXPORT)]
    Export(Export),
    /// Make a model of weights from PyTorch, ONNX or NumPy
    #[command(after_long_help = help::IMPORT)]
    Import(Import),
    /// Write the report.html of a run again, from its records
    #[command(after_long_help = help::REPORT)]
    Report(Report),
    /// List the runs in a folder, with their scores
    #[command(after_long_help = help::RUNS)]
    Runs(Runs),
    /// Show where runs differ: configuration, scores and learning curves
    #[command(after_long_help = help::COMPARE)]
    Compare(Compare),
    /// Simulate cells, populations, systems and models of several levels
    #[command(after_long_help = help::SIMULATE)]
    Simulate(Box<Simulate>),
    /// Analyse what is simulated: fixed points, bifurcations, chaos, spectra, spikes, connectivity
    #[command(after_long_help = help::analyze())]
    Analyze(Box<Analyze>),
    /// Look into a network that was trained on a task: choices, activity, tuning, demixed components; ablate and perturb it
    #[command(after_long_help = help::probe())]
    Probe(Box<Probe>),
    /// List the ready-made simulations and runs, or print one
    #[command(after_long_help = help::PRESETS)]
    Presets(Presets),
    /// Print every key of a configuration: type, default, range, unit and help
    #[command(after_long_help = help::CONFIG)]
    Config(Config),
    /// List the devices of this machine and the one that `auto` takes
    #[command(after_long_help = help::DEVICES)]
    Devices(Devices),
    /// Measure how fast this machine trains, predicts and simulates, beside what it can do at most
    #[command(after_long_help = help::BENCH)]
    Bench(Bench),
    /// List, fetch, verify and look at data sets
    #[command(after_long_help = help::DATA, arg_required_else_help = true)]
    Data(Data),
    /// Print a script that completes commands and flags in a shell
    #[command(after_long_help = help::COMPLETIONS)]
    Completions(Completions),
}

impl Command {
    /// Whether the thread that asks takes its part of every kernel.
    pub fn joins_threads(&self) -> bool {
        matches!(self, Self::Train(_) | Self::Bench(_))
    }

    /// Whether results are asked for as JSON.
    pub fn json(&self) -> bool {
        match self {
            Self::Train(args) => args.json,
            Self::Eval(args) => args.json,
            Self::Detect(args) => args.json,
            Self::Importance(args) => args.json,
            Self::Probe(args) => args.json,
            Self::ReceptiveFields(args) => args.json,
            Self::Predict(args) => args.json,
            Self::Stream(args) => args.json,
            Self::Export(args) => args.json,
            Self::Import(args) => args.json,
            Self::Simulate(args) => args.json,
            Self::Analyze(args) => args.simulate.json,
            Self::Presets(args) => args.json,
            Self::Config(args) => args.json,
            Self::Devices(args) => args.json,
            Self::Bench(args) => args.json,
            Self::Runs(args) => args.json,
            Self::Compare(args) => args.json,
            Self::Data(args) => match args.command {
                DataCommand::List { json, .. }
                | DataCommand::Fetch { json, .. }
                | DataCommand::Verify { json, .. }
                | DataCommand::Inspect { json, .. } => json,
                DataCommand::Preview { .. } => false,
            },
            Self::Report(_) | Self::Completions(_) => false,
        }
    }
}

/// Where data sets are on disk.
#[derive(Debug, Args)]
pub struct DataFolder {
    /// Folder that holds (or receives) the data sets, as DIR/mnist, DIR/cifar-10, …
    /// [default: $GRANULE_DATA_DIR, else the user's cache]
    #[arg(long, value_name = "DIR", value_parser = path())]
    pub data_dir: Option<PathBuf>,
}

/// Where a data set is read from.
#[derive(Debug, Args)]
pub struct DataSource {
    #[command(flatten)]
    pub folder: DataFolder,

    /// Never use the network: a data set that is not on disk is an error
    #[arg(long)]
    pub offline: bool,
}

#[derive(Clone, Debug, Default, Args)]
#[command(group(clap::ArgGroup::new("series").multiple(true)))]
pub struct Train {
    /// mlp, lenet, cnn, resnet, rate, gru, lstm, wilson-cowan or sequential; or a preset, as
    /// `granule presets` lists them, such as decode-kinematics; or a TOML file
    /// with a whole configuration [default: mlp; for folder:DIR and
    /// parquet:PATH a small cnn]
    #[arg(value_name = "MODEL|PRESET|CONFIG.toml", value_parser = name_or_path)]
    pub what: Option<String>,

    /// synthetic-digits, mnist, fashion-mnist, cifar-10, cifar-100, folder:DIR, parquet:PATH, idx:DIR,
    /// arrays:FILE or recording:PATH
    /// [default: synthetic-digits]
    #[arg(long, value_name = "NAME", help_heading = "Data")]
    pub dataset: Option<DatasetSpec>,

    /// Learn a task instead of a data set, with rate, gru, lstm or wilson-cowan: sine, flip-flop, perceptual-decision,
    /// delayed-match, context-integration or interval-timing
    #[arg(long, value_name = "NAME", help_heading = "Data", conflicts_with_all = ["dataset", "limit_train"])]
    pub task: Option<String>,

    /// New trials of the task in every epoch [default: 6400]
    #[arg(long, value_name = "N", help_heading = "Data", allow_negative_numbers = true, value_parser = whole)]
    pub trials: Option<usize>,

    /// Folder that holds (or receives) the data sets, as DIR/mnist, DIR/cifar-10, …
    /// [default: $GRANULE_DATA_DIR, else the user's cache]
    #[arg(long, value_name = "DIR", help_heading = "Data", value_parser = path())]
    pub data_dir: Option<PathBuf>,

    /// Never use the network: a data set that is not on disk is an error
    #[arg(long, help_heading = "Data")]
    pub offline: bool,

    /// Train on N training samples only: the first of a published set; of folder: and arrays:,
    /// which may be sorted by class, N drawn by the seed of the data
    #[arg(long, value_name = "N", help_heading = "Data", allow_negative_numbers = true, value_parser = whole)]
    pub limit_train: Option<usize>,

    /// Test on N test samples only, chosen in the same way
    #[arg(long, value_name = "N", help_heading = "Data", allow_negative_numbers = true, value_parser = whole)]
    pub limit_test: Option<usize>,

    /// The numbers of black and white in arrays of images, as in --range=-1,1 [default: 0,255 of
    /// integers, 0,1 of floating-point numbers]
    #[arg(long, value_name = "BLACK,WHITE", help_heading = "Data", allow_hyphen_values = true, value_parser = range)]
    pub range: Option<[f64; 2]>,

    /// auto, cpu, gpu, ndarray, flex, wgpu, wgpu:discrete:0, … as `granule devices` lists them
    /// [default: $GRANULE_DEVICE, else auto]
    #[arg(long, value_name = "SPEC", help_heading = "Training")]
    pub device: Option<DeviceSpec>,

    /// Passes over the training set [default: by model, and more on few samples]
    #[arg(long, value_name = "N", help_heading = "Training", allow_negative_numbers = true, value_parser = whole)]
    pub epochs: Option<usize>,

    /// Samples per optimiser step [default: by model]
    #[arg(long, value_name = "N", help_heading = "Training", allow_negative_numbers = true, value_parser = whole)]
    pub batch_size: Option<usize>,

    /// Learning rate [default: by model and optimiser]
    #[arg(
        long,
        value_name = "X",
        help_heading = "Training",
        allow_negative_numbers = true
    )]
    pub lr: Option<f64>,

    /// sgd, adam, adamw or rmsprop [default: by model]
    #[arg(long, value_name = "NAME", help_heading = "Training")]
    pub optimizer: Option<String>,

    /// constant, step, cosine, one-cycle or plateau: the course of the learning rate [default: by model]
    #[arg(long, value_name = "NAME", help_heading = "Training")]
    pub schedule: Option<String>,

    /// Seed of weights, batch order, dropout and augmentation; the data do not depend on it, see
    /// `--set data.seed=N` [default: 1]
    #[arg(long, value_name = "N", help_heading = "Training", allow_negative_numbers = true, value_parser = seed)]
    pub seed: Option<u64>,

    /// Train N times, with the seed and the N − 1 after it; a table with mean and spread at the end.
    /// Each has a run folder of its own: DIR/seed-1, … with --run-dir DIR, else as a single run has
    #[arg(long, value_name = "N", help_heading = "Training", allow_negative_numbers = true, conflicts_with = "folds", group = "series", value_parser = seeds)]
    pub seeds: Option<usize>,

    /// Cross-validate: train K times, each time without another of K parts of the samples, and test on it; a table with mean
    /// and spread at the end. A test part of the data is left out; groups of a recording stay together. Each has a
    /// run folder of its own: DIR/fold-1, … with --run-dir DIR
    #[arg(long, value_name = "K", help_heading = "Training", allow_negative_numbers = true, group = "series", value_parser = folds)]
    pub folds: Option<usize>,

    /// Train once for each of several values of a key of the configuration, as --set takes them; a table of the scores
    /// at the end. Commas in brackets belong to a value. With --seeds or --folds each value has all of those, and the
    /// table their means and spreads, with a paired t-test of every value beside the first. Run folders are
    /// DIR/limit_train-75, … with --run-dir DIR
    #[arg(
        long,
        value_name = "KEY.PATH=VALUE,VALUE,…",
        help_heading = "Training",
        allow_hyphen_values = true,
        group = "series",
        conflicts_with = "dry_run"
    )]
    pub sweep: Option<String>,

    /// Train so many runs of --seeds, --folds or --sweep at a time, 1 to 64; each ends as it does alone, bit for bit on a
    /// CPU. Small models gain most
    #[arg(long, value_name = "N", help_heading = "Training", allow_negative_numbers = true, default_value_t = 1, requires = "series", value_parser = jobs)]
    pub jobs: usize,

    /// Hold out this fraction of the training samples for validation [default: 0, none]
    #[arg(
        long,
        value_name = "FRACTION",
        help_heading = "Training",
        allow_negative_numbers = true
    )]
    pub validation: Option<f64>,

    /// Stop after N epochs in which the validation loss, or what train.monitor says, does not
    /// improve; holds a tenth out for validation unless --validation says otherwise
    #[arg(long, value_name = "N", help_heading = "Training", allow_negative_numbers = true, value_parser = whole)]
    pub early_stopping: Option<usize>,

    /// Set any value of the configuration, as in `--set optimizer.momentum=0.95` (repeatable);
    /// `granule config` lists all keys
    #[arg(
        long,
        value_name = "KEY.PATH=VALUE",
        help_heading = "Training",
        allow_hyphen_values = true
    )]
    pub set: Vec<String>,

    /// Folder to write [default: runs/DATE-MODEL-DATASET]
    #[arg(long, value_name = "DIR", help_heading = "Run", value_parser = path())]
    pub run_dir: Option<PathBuf>,

    /// Go on with an interrupted run at its last checkpoint, with its own configuration; --device and
    /// the place of the data may be others
    #[arg(
        long,
        value_name = "RUN",
        help_heading = "Run",
        conflicts_with_all = ["what", "run_dir", "seeds", "folds", "sweep", "continue_run", "from"],
        value_parser = path())]
    pub resume: Option<PathBuf>,

    /// Train a finished run further, as a new run: its configuration, weights and optimiser state,
    /// then the flags; --epochs counts those to come
    #[arg(
        long = "continue",
        value_name = "RUN",
        help_heading = "Run",
        conflicts_with_all = ["what", "from", "folds", "sweep"],
        value_parser = path()
    )]
    pub continue_run: Option<PathBuf>,

    /// Begin with the weights of a model file, a run or a checkpoint, and with its model unless one is named: all but those
    /// of a last layer for another number of classes or values, and of a first layer for other channels or features
    #[arg(long, value_name = "FILE|RUN", help_heading = "Run", value_parser = path())]
    pub from: Option<PathBuf>,

    /// Read the data, build the model and print its layers with what they give for a sample, their
    /// weights and the number of parameters; write nothing
    #[arg(long, help_heading = "Output", conflicts_with_all = ["resume", "run_dir"])]
    pub dry_run: bool,

    /// Write the table of --seeds, --folds or --sweep: a line for each run, with what differs and every score
    #[arg(long, value_name = "FILE.csv", help_heading = "Output", requires = "series", value_parser = path())]
    pub csv: Option<PathBuf>,

    /// Print one JSON object a line; the last one is the result
    #[arg(long, help_heading = "Output")]
    pub json: bool,

    /// Print the result only
    #[arg(long, short, help_heading = "Output")]
    pub quiet: bool,
}

/// What a trained model is tested on.
#[derive(Debug, Args)]
pub struct TestedOn {
    /// Data set to test on [default: the one the model was trained on]
    #[arg(long, value_name = "NAME")]
    pub dataset: Option<DatasetSpec>,

    #[command(flatten)]
    pub source: DataSource,

    /// Test on N test samples only, the ones that a run with this limit is tested on: the first of a
    /// published set; of folder: and arrays:, N drawn by the seed of the data
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = positive)]
    pub limit_test: Option<usize>,

    /// Read the data otherwise than in training, as in `--set data.decoding.test_signal=NAME` (repeatable): the keys of
    /// data.decoding, and data.truncated
    #[arg(long, value_name = "KEY.PATH=VALUE", allow_hyphen_values = true)]
    pub set: Vec<String>,
}

/// How images are read otherwise than in training.
#[derive(Debug, Default, Args)]
pub struct AsImages {
    /// The numbers of black and white in arrays of images, as in --range=-1,1 [default: those the model was trained on, else 0,255 of
    /// integers, 0,1 of floating-point numbers]
    #[arg(long, value_name = "BLACK,WHITE", allow_hyphen_values = true, value_parser = range)]
    pub range: Option<[f64; 2]>,

    /// Exchange rows and columns of the images of arrays and IDX files; --transpose=false leaves them
    /// [default: as in training]
    #[arg(long, value_name = "true|false", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub transpose: Option<bool>,

    /// Bring images of a folder to the size the model takes: stretch, crop or pad [default without HOW: as in
    /// training, else stretch]
    #[arg(long, value_name = "HOW", num_args = 0..=1, require_equals = true)]
    pub resize: Option<Option<Resize>>,

    /// Colour behind transparent pixels: white, black, grey or #rrggbb [default: as in training]
    #[arg(long, value_name = "COLOUR")]
    pub background: Option<Background>,
}

#[derive(Debug, Args)]
pub struct Eval {
    /// A run folder, a .granule file or a checkpoint
    #[arg(value_name = "RUN|MODEL_FILE", value_parser = path())]
    pub model: PathBuf,

    #[command(flatten)]
    pub tested: TestedOn,

    #[command(flatten)]
    pub images: AsImages,

    /// Device to run on, as `granule devices` lists them [default: $GRANULE_DEVICE, else auto]
    #[arg(long, value_name = "SPEC")]
    pub device: Option<DeviceSpec>,

    /// Samples per forward pass
    #[arg(long, value_name = "N", default_value_t = 256, allow_negative_numbers = true, value_parser = positive)]
    pub batch_size: usize,

    /// Print one JSON object with the keys of the result of `granule train --json`
    #[arg(long)]
    pub json: bool,
}

/// A decoder, and what it is measured on.
#[derive(Debug, Args)]
pub struct Decoder {
    /// A run folder, a .granule file or a checkpoint, of a model that sees a signal or features
    #[arg(value_name = "RUN|MODEL_FILE", value_parser = path())]
    pub model: PathBuf,

    #[command(flatten)]
    pub tested: TestedOn,

    /// Device to run on, as `granule devices` lists them [default: $GRANULE_DEVICE, else auto]
    #[arg(long, value_name = "SPEC")]
    pub device: Option<DeviceSpec>,

    /// Samples per forward pass
    #[arg(long, value_name = "N", default_value_t = 256, allow_negative_numbers = true, value_parser = positive)]
    pub batch_size: usize,
}

#[derive(Debug, Args)]
pub struct Importance {
    #[command(flatten)]
    pub decoder: Decoder,

    /// What is shuffled at a time
    #[arg(long, value_name = "WHAT", default_value = "channel", value_parser = parts())]
    pub by: By,

    /// With --by group: a group, as ranges of channels from the first to the end, which is left out, counted from 0 as the
    /// recording has them: `--group [[0,36]] --group [[36,71]]` [default: what the branches of the model see]
    #[arg(long, value_name = "RANGES", value_parser = ranges)]
    pub group: Vec<Ranges>,

    /// How often each is shuffled, 1 to 1000
    #[arg(long, value_name = "N", default_value_t = 10, allow_negative_numbers = true, value_parser = counting)]
    pub repeats: usize,

    /// Decides the orders
    #[arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true, value_parser = seed)]
    pub seed: u64,

    /// Rows of the table, the most important ones; of lags all are shown
    #[arg(long, value_name = "N", default_value_t = 20, allow_negative_numbers = true, value_parser = positive)]
    pub top: usize,

    /// Write all rows as a table as well
    #[arg(long, value_name = "FILE.csv", value_parser = path())]
    pub csv: Option<PathBuf>,

    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct ReceptiveFields {
    #[command(flatten)]
    pub decoder: Decoder,

    /// Rows of the table: the outputs with the longest fields
    #[arg(long, value_name = "N", default_value_t = 20, allow_negative_numbers = true, value_parser = positive)]
    pub top: usize,

    /// Write all slopes as a table as well: a row for each output, lag and channel
    #[arg(long, value_name = "FILE.csv", value_parser = path())]
    pub csv: Option<PathBuf>,

    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Detect {
    /// A run folder, or a checkpoint in one, of data.decoding.reconstruct, such as one of the preset detect-anomalies
    #[arg(value_name = "RUN", value_parser = path())]
    pub model: PathBuf,

    /// Another recording of the same channels, all of which is scored beside the normal samples
    #[arg(long, value_name = "recording:PATH")]
    pub dataset: Option<DatasetSpec>,

    /// Which arrays of that recording, or of that of the run, are scored beside the normal samples, and how they are read, as in
    /// `--set data.decoding.signal=NAME` (repeatable)
    #[arg(long, value_name = "KEY.PATH=VALUE", allow_hyphen_values = true)]
    pub set: Vec<String>,

    /// The share of samples held out of training that may be above the threshold, between 0 and 1
    #[arg(
        long,
        value_name = "SHARE",
        default_value_t = 0.05,
        allow_negative_numbers = true
    )]
    pub false_alarms: f64,

    /// A kind of unusual activity to make of the test part (repeatable) [default: all that can be made of it]
    #[arg(long, value_name = "KIND", value_parser = anomalies())]
    pub anomaly: Vec<&'static Anomaly>,

    /// The share of the channels that a lesion silences, between 0 and 1
    #[arg(
        long,
        value_name = "SHARE",
        default_value_t = 0.2,
        allow_negative_numbers = true
    )]
    pub lesion: f64,

    /// Device to run on, as `granule devices` lists them [default: $GRANULE_DEVICE, else auto]
    #[arg(long, value_name = "SPEC")]
    pub device: Option<DeviceSpec>,

    /// Samples per forward pass
    #[arg(long, value_name = "N", default_value_t = 256, allow_negative_numbers = true, value_parser = positive)]
    pub batch_size: usize,

    /// Write a page with the tables and the scores as histograms as well, one self-contained HTML file
    #[arg(long, value_name = "FILE.html", value_parser = path())]
    pub out: Option<PathBuf>,

    /// Print one JSON object
    #[arg(long, conflicts_with = "csv")]
    pub json: bool,

    /// Print a table with a line for every sample: part, sample, score, unusual
    #[arg(long)]
    pub csv: bool,
}

#[derive(Debug, Args)]
pub struct Predict {
    /// A run folder, a .granule file or a checkpoint
    #[arg(value_name = "RUN|MODEL_FILE", value_parser = path())]
    pub model: PathBuf,

    /// Images (PNG, JPEG, WebP, BMP, GIF), folders of them, patterns such as 'scans/*.png', - for an image on
    /// standard input; or arrays, .npy or .npz, of one item or a batch of items; or recording:PATH, of which every bin is
    /// answered by a run that decodes
    #[arg(value_name = "IMAGE|FOLDER|ARRAY|recording:PATH|-", required = true, value_parser = path())]
    pub inputs: Vec<PathBuf>,

    /// Which arrays of recording:PATH are read, and how, as in `--set data.decoding.signal=rates` (repeatable)
    #[arg(long, value_name = "KEY.PATH=VALUE", allow_hyphen_values = true)]
    pub set: Vec<String>,

    /// Classes to show per item, the most probable first
    #[arg(long, value_name = "K", default_value_t = 3, allow_negative_numbers = true, value_parser = positive)]
    pub top: usize,

    /// Bring images of another size to that the model takes: stretch, crop or pad [default without HOW: as in
    /// training, else stretch]
    #[arg(long, value_name = "HOW", num_args = 0..=1, require_equals = true)]
    pub resize: Option<Option<Resize>>,

    /// Colour behind transparent pixels: white, black, grey or #rrggbb [default: as in training]
    #[arg(long, value_name = "COLOUR")]
    pub background: Option<Background>,

    /// Invert the brightness of images: for dark strokes on light paper
    #[arg(long)]
    pub invert: bool,

    /// The numbers of black and white in arrays of images, as in --range=-1,1 [default: those the model was trained on, else 0,255 of
    /// integers, 0,1 of floating-point numbers]
    #[arg(long, value_name = "BLACK,WHITE", allow_hyphen_values = true, value_parser = range)]
    pub range: Option<[f64; 2]>,

    /// Exchange rows and columns of the images of arrays; --transpose=false leaves them [default: as in training]
    #[arg(long, value_name = "true|false", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub transpose: Option<bool>,

    /// Device to run on, as `granule devices` lists them [default: $GRANULE_DEVICE, else cpu]
    #[arg(long, value_name = "SPEC")]
    pub device: Option<DeviceSpec>,

    /// Print one JSON object per item, one a line
    #[arg(long, conflicts_with = "csv")]
    pub json: bool,

    /// Print a table with a line per item: input, index, class, probability, class_2, …
    #[arg(long)]
    pub csv: bool,
}

#[derive(Debug, Args)]
pub struct Stream {
    /// The run of a decoder of bins, its model file or a checkpoint
    #[arg(value_name = "RUN|MODEL_FILE", value_parser = path())]
    pub model: PathBuf,

    /// Listen on a socket of this machine, as 127.0.0.1:7000, in place of standard input; port 0 takes one that is free
    #[arg(long, value_name = "ADDRESS", value_parser = loopback)]
    pub listen: Option<SocketAddr>,

    /// Bins after the one that is decoded, which the model sees [default: as in training, 0 of a model file alone]
    #[arg(long, value_name = "N")]
    pub after: Option<usize>,

    /// Classes to show per bin, the most probable first
    #[arg(long, value_name = "K", default_value_t = 1, allow_negative_numbers = true, value_parser = positive)]
    pub top: usize,

    /// Device to run on, as `granule devices` lists them [default: $GRANULE_DEVICE, else cpu]
    #[arg(long, value_name = "SPEC")]
    pub device: Option<DeviceSpec>,

    /// Begin with a line of the names of the columns: trial, bin, value_1, …
    #[arg(long, conflicts_with = "json")]
    pub header: bool,

    /// Print one JSON object per bin, one a line, in place of a table
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Export {
    /// A run folder, a .granule file or a checkpoint
    #[arg(value_name = "RUN|MODEL_FILE", value_parser = path())]
    pub model: PathBuf,

    /// File to write
    #[arg(long, value_name = "FILE", value_parser = path())]
    pub out: PathBuf,

    /// safetensors, onnx or npz [default: as the name of the file ends]
    #[arg(long, value_name = "NAME")]
    pub format: Option<String>,

    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Import {
    /// Weights: .safetensors, a state dict of PyTorch (.pt, .pth), .onnx or .npz
    #[arg(value_name = "FILE", value_parser = path())]
    pub file: PathBuf,

    /// The model that they are of, with its settings: a run or a .granule file of the same model, whose classes and
    /// normalisation are taken as well; a TOML file or a preset, as `granule train` takes them; or the name of a model
    #[arg(long, value_name = "RUN|CONFIG.toml|MODEL", value_parser = name_or_path)]
    pub model: String,

    /// Model file to write
    #[arg(long, value_name = "FILE.granule", value_parser = path())]
    pub out: PathBuf,

    /// safetensors, onnx, npz or pytorch [default: as the name of the file ends]
    #[arg(long, value_name = "NAME")]
    pub format: Option<String>,

    /// Set any value of the configuration, as in `--set model.widths=[256,128]` (repeatable)
    #[arg(
        long,
        value_name = "KEY.PATH=VALUE",
        help_heading = "Model",
        allow_hyphen_values = true
    )]
    pub set: Vec<String>,

    /// Take shape, classes and normalisation of this data set, as training would
    #[arg(long, value_name = "NAME", help_heading = "Model")]
    pub dataset: Option<DatasetSpec>,

    /// Folder that holds (or receives) the data sets [default: $GRANULE_DATA_DIR, else the user's cache]
    #[arg(long, value_name = "DIR", help_heading = "Model", value_parser = path())]
    pub data_dir: Option<PathBuf>,

    /// Never use the network: a data set that is not on disk is an error
    #[arg(long, help_heading = "Model")]
    pub offline: bool,

    /// What the model takes, in place of a data set: 3x32x32 (channels, height, width), 100x8 (steps, channels) or 12
    /// (features)
    #[arg(long, value_name = "EXTENTS", help_heading = "Model", value_parser = input_shape, conflicts_with = "dataset")]
    pub input: Option<InputShape>,

    /// The classes by the order of the outputs, as in cat,dog [default: those of the run or data set, else numbers from 0,
    /// where the weights give two or more]
    #[arg(
        long,
        value_name = "NAME,…",
        help_heading = "Model",
        value_delimiter = ','
    )]
    pub classes: Vec<String>,

    /// The model gives so many real values, no classes
    #[arg(long, value_name = "N", help_heading = "Model", conflicts_with = "classes", value_parser = positive)]
    pub outputs: Option<usize>,

    /// What is subtracted from each channel, or from each feature of a vector; of images on the scale from 0 to 1
    /// [default: that of the run or data set, else 0]
    #[arg(
        long,
        value_name = "X,…",
        help_heading = "Model",
        value_delimiter = ',',
        allow_negative_numbers = true
    )]
    pub mean: Vec<f64>,

    /// What each is divided by then [default: that of the run or data set, else 1]
    #[arg(
        long,
        value_name = "X,…",
        help_heading = "Model",
        value_delimiter = ','
    )]
    pub std: Vec<f32>,

    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Report {
    /// A run folder, or its model file or one of its checkpoints
    #[arg(value_name = "RUN", value_parser = path())]
    pub run: PathBuf,
}

#[derive(Debug, Args)]
pub struct Runs {
    /// A folder of run folders
    #[arg(value_name = "DIR", default_value = "runs", value_parser = path())]
    pub folder: PathBuf,

    /// Print one JSON object per run, one a line
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Compare {
    /// Run folders, two or more
    #[arg(value_name = "RUN", required = true, num_args = 2.., value_parser = path())]
    pub runs: Vec<PathBuf>,

    /// Write a page of tables and charts as well, one self-contained HTML file
    #[arg(long, value_name = "FILE.html", value_parser = path())]
    pub out: Option<PathBuf>,

    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Simulate {
    /// A ready-made simulation, as `granule presets` lists them; or a TOML file that describes one
    #[arg(value_name = "PRESET|CONFIG.toml", value_parser = name_or_path)]
    pub what: String,

    /// Set any value of the configuration, as in `--set unit.current=12` (repeatable);
    /// `granule config PRESET` lists all keys
    #[arg(
        long,
        value_name = "KEY.PATH=VALUE",
        help_heading = "Simulation",
        allow_hyphen_values = true
    )]
    pub set: Vec<String>,

    /// How long, in ms
    #[arg(
        long,
        value_name = "MS",
        help_heading = "Simulation",
        allow_negative_numbers = true
    )]
    pub duration: Option<f64>,

    /// The step, in ms
    #[arg(
        long,
        value_name = "MS",
        help_heading = "Simulation",
        allow_negative_numbers = true
    )]
    pub dt: Option<f64>,

    #[arg(long, value_name = "NAME", help_heading = "Simulation", help = solvers())]
    pub solver: Option<String>,

    /// Seed of weights, connections and noise [default: 0]
    #[arg(long, value_name = "N", help_heading = "Simulation", allow_negative_numbers = true, value_parser = seed)]
    pub seed: Option<u64>,

    /// Device to run on, as `granule devices` lists them [default: $GRANULE_DEVICE, else cpu]
    #[arg(long, value_name = "SPEC", help_heading = "Simulation")]
    pub device: Option<DeviceSpec>,

    /// Width of the numbers [default: f64 on the CPU, f32 on a GPU]
    #[arg(long, value_name = "f32|f64", help_heading = "Simulation")]
    pub precision: Option<Precision>,

    /// Write the recorded variables and spikes: arrays [time, cells] in .npz, with seed, version and configuration; or
    /// tables in .csv, of which FILE.spikes.csv has the spikes
    #[arg(long, value_name = "FILE.npz|FILE.csv", help_heading = "Output", value_parser = path())]
    pub out: Option<PathBuf>,

    /// Write what is recorded while it runs, in memory that does not grow with the duration: a folder of arrays, VARIABLE.npy
    /// [time, cells], spike_times.npy and spike_cells.npy, and run.json with the result
    #[arg(long, value_name = "FOLDER", help_heading = "Output", value_parser = path(), conflicts_with_all = ["out", "plot"])]
    pub stream: Option<PathBuf>,

    /// Write the whole state in which the run ends, for --from-state
    #[arg(long, value_name = "FILE.json", help_heading = "Output", value_parser = path())]
    pub save_state: Option<PathBuf>,

    /// Go on from the state that an earlier run has saved: duration is the end of both
    #[arg(long, value_name = "FILE.json", help_heading = "Simulation", value_parser = path())]
    pub from_state: Option<PathBuf>,

    #[command(flatten)]
    pub drawing: Drawing,

    /// Print the result as one JSON object
    #[arg(long, help_heading = "Output")]
    pub json: bool,

    /// Print the result only, and warnings: no notes, no progress, not how it was run and what was written
    #[arg(long, short, help_heading = "Output")]
    pub quiet: bool,
}

/// Where a figure goes, and how large it is.
#[derive(Debug, Args)]
pub struct Drawing {
    /// Draw what is found
    #[arg(long, value_name = "FILE.svg|FILE.png", help_heading = "Output", value_parser = path())]
    pub plot: Option<PathBuf>,

    /// Size of the figure, as in 180x120mm, 7x5in or 960x640 (px, of which 96 make an inch)
    /// [default: 960x640]
    #[arg(
        long,
        value_name = "WxH[mm|cm|in|px]",
        help_heading = "Output",
        requires = "plot"
    )]
    pub size: Option<FigureSize>,

    /// Pixels an inch of a figure in .png [default: 96]
    #[arg(long, value_name = "N", help_heading = "Output", requires = "plot", value_parser = resolution)]
    pub dpi: Option<f64>,
}

#[derive(Debug, Args)]
pub struct Analyze {
    /// How to look at it: names as `granule help analyze` lists them
    #[arg(value_name = "ANALYSIS", value_parser = named(ANALYSES.iter().map(|own| (own.name, own.summary))))]
    pub analysis: String,

    /// Set what the analysis asks for, as in `--with parameter=unit.current` (repeatable);
    /// `granule help analyze` lists all settings
    #[arg(
        long,
        value_name = "KEY=VALUE",
        help_heading = "Analysis",
        allow_hyphen_values = true
    )]
    pub with: Vec<String>,

    #[command(flatten)]
    pub simulate: Simulate,
}

#[derive(Debug, Args)]
pub struct Probe {
    /// How to look into it
    #[arg(value_name = "PROBE", value_parser = named(PROBES.iter().map(|own| (own.name, own.summary))))]
    pub probe: String,

    /// A run folder, a .granule file or a checkpoint
    #[arg(value_name = "RUN|MODEL_FILE", value_parser = path())]
    pub model: PathBuf,

    /// Test trials to show it [default: about 20 of every condition]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = positive)]
    pub trials: Option<usize>,

    /// Seed of the trials, and of noise that is added [default: that of the run]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = seed)]
    pub seed: Option<u64>,

    /// Units that hand nothing on, as in `--ablate units=[[0,10]]` (from the first to the end, which is left out) or
    /// `--ablate population=inhibitory` (repeatable)
    #[arg(long, value_name = "WHICH", help_heading = "Interventions")]
    pub ablate: Vec<String>,

    /// What is added to the input of units, as in `--perturb current=0.5,population=excitatory,period=stimulus` or `--perturb
    /// noise=0.2,units=[[0,10]]` (repeatable)
    #[arg(long, value_name = "WHAT", help_heading = "Interventions")]
    pub perturb: Vec<String>,

    /// Weights between units that are taken away, as in `--lesion from=inhibitory,to=excitatory` or `--lesion from=[[0,10]]`
    /// (repeatable)
    #[arg(long, value_name = "WHICH", help_heading = "Interventions")]
    pub lesion: Vec<String>,

    /// Set what the probe asks for, as in `--with variable=coherence` (repeatable); `granule help probe` lists all settings
    #[arg(long, value_name = "KEY=VALUE", allow_hyphen_values = true)]
    pub with: Vec<String>,

    /// Write the first table as .csv, or all tables and arrays as .npz
    #[arg(long, value_name = "FILE.npz|FILE.csv", help_heading = "Output", value_parser = path())]
    pub out: Option<PathBuf>,

    #[command(flatten)]
    pub drawing: Drawing,

    /// Print the result as one JSON object
    #[arg(long, help_heading = "Output")]
    pub json: bool,

    /// Print the result only, and warnings: no notes, no progress and not what was written
    #[arg(long, short, help_heading = "Output")]
    pub quiet: bool,
}

/// Names, each with a line on it.
fn named(all: impl Iterator<Item = (&'static str, &'static str)>) -> PossibleValuesParser {
    PossibleValuesParser::new(all.map(|(name, summary)| PossibleValue::new(name).help(summary)))
}

/// Pixels that make an inch, unless another resolution is asked for.
pub const PIXELS: f64 = 96.0;

/// Width and height of a figure in pixels, of which [`PIXELS`] make an inch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FigureSize {
    pub width: u32,
    pub height: u32,
}

impl Default for FigureSize {
    fn default() -> Self {
        Self {
            width: 960,
            height: 640,
        }
    }
}

impl std::str::FromStr for FigureSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || "not of the form 180x120mm, 18x12cm, 7x5in or 960x640".to_owned();
        let units = [
            ("mm", PIXELS / 25.4),
            ("cm", PIXELS / 2.54),
            ("in", PIXELS),
            ("px", 1.0),
        ];
        let known = units
            .iter()
            .find_map(|(unit, pixels)| Some((text.strip_suffix(unit)?, *pixels)));
        let (extents, pixels) = known.unwrap_or((text, 1.0));
        let (width, height) = extents.split_once(['x', '×']).ok_or_else(form)?;
        let length = |text: &str| {
            let length: f64 = text.trim().parse().map_err(|_| form())?;
            let length = (length * pixels).round();
            if (1.0..=20_000.0).contains(&length) {
                Ok(length as u32)
            } else {
                Err("a side must be from 1 to 20,000 px, 5 m".to_owned())
            }
        };
        Ok(Self {
            width: length(width)?,
            height: length(height)?,
        })
    }
}

fn resolution(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(dpi) if (10.0..=4800.0).contains(&dpi) => Ok(dpi),
        _ => Err("a number of pixels an inch, 10 to 4800".to_owned()),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    F32,
    F64,
}

#[derive(Debug, Args)]
pub struct Presets {
    /// Print the TOML of this one, to be changed and given to `granule simulate` or `granule train`
    #[arg(value_name = "NAME")]
    pub name: Option<String>,

    /// Print one JSON object per preset, one a line
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Config {
    /// A model, a preset, a TOML file or a run folder: its whole configuration as TOML with help.
    /// Or a key, a kind or any word: the keys that it finds. [default: train]
    #[arg(value_name = "MODEL|PRESET|FILE|KEY|WORD")]
    pub what: Option<String>,

    /// Print the JSON Schema, for editors; of keys that were searched for, one JSON object per key
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    #[arg(value_name = "bash|zsh|fish")]
    pub shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub struct Devices {
    /// Print one JSON object per device, one a line
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Bench {
    /// What to measure: names as --list prints them, or what several begin with, such as train or
    /// simulate-balanced-network [default: everything]
    #[arg(value_name = "ROW")]
    pub rows: Vec<String>,

    /// auto, cpu, gpu, ndarray, flex, wgpu, … as `granule devices` lists them
    /// [default: $GRANULE_DEVICE, else cpu]
    #[arg(long, value_name = "SPEC")]
    pub device: Option<DeviceSpec>,

    /// About how long each row is measured, s, 0.01 to 3600; a row has three rounds at least, unless they take
    /// four times as long
    #[arg(long, value_name = "S", default_value = "2", allow_negative_numbers = true, value_parser = bench_seconds)]
    pub seconds: f64,

    /// Measure instead what a part of the work costs against how much there is: batch, units, steps, cells, areas,
    /// synapses or threads, as --list explains them
    #[arg(long, value_name = "SERIES", conflicts_with = "rows")]
    pub against: Option<String>,

    /// Draw the series
    #[arg(long, value_name = "FILE.svg|FILE.png", requires = "against", value_parser = path())]
    pub plot: Option<PathBuf>,

    /// Leave out what the device can do at most, which takes a second and some memory
    #[arg(long)]
    pub no_ceilings: bool,

    /// Say what there is to measure, and measure nothing
    #[arg(long)]
    pub list: bool,

    /// Print one JSON object a line: the machine, then every row with its rounds, 100 at most
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Data {
    #[command(subcommand)]
    pub command: DataCommand,
}

#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// List the data sets, and which of them are on disk
    #[command(after_long_help = help::DATA_LIST)]
    List {
        #[command(flatten)]
        folder: DataFolder,
        /// Print one JSON object per data set, one a line
        #[arg(long)]
        json: bool,
    },
    /// Download a data set and check it against its published SHA-256
    #[command(after_long_help = help::DATA_FETCH)]
    Fetch {
        /// mnist, fashion-mnist, cifar-10 or cifar-100
        #[arg(value_name = "NAME")]
        name: DatasetSpec,
        #[command(flatten)]
        source: DataSource,
        /// Print one JSON object per file, one a line
        #[arg(long)]
        json: bool,
    },
    /// Check the files of a data set against their published SHA-256
    #[command(after_long_help = help::DATA_VERIFY)]
    Verify {
        /// mnist, fashion-mnist, cifar-10 or cifar-100
        #[arg(value_name = "NAME")]
        name: DatasetSpec,
        #[command(flatten)]
        folder: DataFolder,
        /// Print one JSON object per file, one a line
        #[arg(long)]
        json: bool,
    },
    /// Show what is inside a file or folder of recordings: its arrays, and what may be decoded from what
    #[command(after_long_help = help::DATA_INSPECT)]
    Inspect {
        /// What `--dataset recording:PATH` takes, or a single .npy file
        #[arg(value_name = "PATH", value_parser = path())]
        path: PathBuf,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Draw samples of a data set into one PNG image
    #[command(after_long_help = help::DATA_PREVIEW)]
    Preview {
        /// Any image data set: synthetic-digits, mnist, cifar-10, folder:DIR, …
        #[arg(value_name = "NAME")]
        name: DatasetSpec,
        /// PNG file to write
        #[arg(long, value_name = "FILE", default_value = "preview.png", value_parser = path())]
        out: PathBuf,
        /// Samples in a row
        #[arg(long, value_name = "N", default_value_t = 10, allow_negative_numbers = true, value_parser = positive)]
        columns: usize,
        /// Rows of samples
        #[arg(long, value_name = "N", default_value_t = 10, allow_negative_numbers = true, value_parser = positive)]
        rows: usize,
        /// The numbers of black and white in arrays of images [default: 0,255 of integers, 0,1 of
        /// floating-point numbers]
        #[arg(long, value_name = "BLACK,WHITE", allow_hyphen_values = true, value_parser = range)]
        range: Option<[f64; 2]>,
        /// Exchange rows and columns of the images of arrays and IDX files
        #[arg(long)]
        transpose: bool,
        #[command(flatten)]
        source: DataSource,
    },
}

/// A path, whose `~` at the beginning is the home also where the shell does not see it: in `--data-dir=~/data`.
fn path() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().map(|path| expand(&path))
}

/// A name, or a path as [`path`] has it.
fn name_or_path(text: &str) -> Result<String, Infallible> {
    Ok(if text.starts_with('~') {
        expand(Path::new(text)).to_string_lossy().into_owned()
    } else {
        text.to_string()
    })
}

/// A number whose range is that of the setting it stands for.
fn whole(text: &str) -> Result<usize, String> {
    text.parse()
        .map_err(|_| "must be a whole number, 1 or more".to_string())
}

/// The extents of a sample.
fn input_shape(text: &str) -> Result<InputShape, String> {
    let extents = text.split(['x', '×', ',']);
    let extents: Option<Vec<usize>> = extents.map(|part| part.trim().parse().ok()).collect();
    match extents.as_deref() {
        Some(&[channels, height, width]) => Ok(InputShape::Image {
            channels,
            height,
            width,
        }),
        Some(&[steps, channels]) => Ok(InputShape::Sequence { steps, channels }),
        Some(&[len]) => Ok(InputShape::Vector { len }),
        _ => Err("must be one, two or three whole numbers, as in 3x32x32, 100x8 or 12".to_owned()),
    }
}

/// Black and white.
fn range(text: &str) -> Result<[f64; 2], String> {
    let numbers: Option<Vec<f64>> = text
        .split(',')
        .map(|part| part.trim().parse().ok())
        .collect();
    match numbers.as_deref() {
        Some(&[black, white]) if black < white && (white - black).is_finite() => Ok([black, white]),
        _ => Err("must be two numbers, that of black first, as in -1,1".to_string()),
    }
}

/// What TOML can hold.
fn seed(text: &str) -> Result<u64, String> {
    let seed = text.parse::<i64>().ok();
    seed.and_then(|seed| u64::try_from(seed).ok())
        .ok_or_else(|| format!("must be a whole number from 0 to {}", i64::MAX))
}

/// The most runs of one command.
const MOST_RUNS: usize = 10_000;

fn folds(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(0 | 1) => Err(format!(
            "must be 2 to {MOST_RUNS}: one part is tested on, the others are learnt from"
        )),
        Ok(n) if n <= MOST_RUNS => Ok(n),
        _ => Err(format!("must be a whole number from 2 to {MOST_RUNS}")),
    }
}

fn bench_seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.01..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("must be a number of seconds from 0.01 to 3600".to_owned()),
    }
}

fn jobs(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(n) if (1..=64).contains(&n) => Ok(n),
        _ => Err("must be a whole number from 1 to 64".to_owned()),
    }
}

fn seeds(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(n) if (1..=MOST_RUNS).contains(&n) => Ok(n),
        _ => Err(format!("must be a whole number from 1 to {MOST_RUNS}")),
    }
}

/// An address of this machine alone.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text
        .parse()
        .map_err(|_| "an address with a port, as in 127.0.0.1:7000".to_owned())?;
    if address.ip().is_loopback() {
        Ok(address)
    } else {
        Err("an address of the loopback, 127.0.0.1 or [::1]: bins come unencrypted from whoever connects".to_owned())
    }
}

/// `[first, end]` ranges of channels.
pub type Ranges = Vec<[usize; 2]>;

fn ranges(text: &str) -> Result<Ranges, String> {
    serde_json::from_str(text).map_err(|_| "must be ranges, as in [[0,10],[15,20]]".to_owned())
}

/// A number whose range is that of the setting it stands for, 0 among what is refused there.
fn counting(text: &str) -> Result<usize, String> {
    text.parse()
        .map_err(|_| "must be a whole number from 1 to 1000".to_owned())
}

fn parts() -> impl TypedValueParser<Value = By> {
    let names = By::ALL.map(|by| {
        PossibleValue::new(by.name()).help(match by {
            By::Channel => "each channel, at all lags, or each feature",
            By::Lag => "each bin of the window, of all channels",
            By::Group => "some channels at a time",
        })
    });
    PossibleValuesParser::new(names).try_map(|name| {
        let by = By::ALL.into_iter().find(|by| by.name() == name);
        by.ok_or("there is no such part")
    })
}

/// The help of `--solver`, with every method that there is.
fn solvers() -> String {
    let names = SolverKind::ALL.map(SolverKind::name).join(", ");
    format!(
        "{names} [default: by model]; in steps of --dt, but for dormand-prince and tsit5 with `--set rtol=1e-6`, which follow \
         the error"
    )
}

fn anomalies() -> impl TypedValueParser<Value = &'static Anomaly> {
    let kinds = ANOMALIES
        .iter()
        .map(|kind| PossibleValue::new(kind.name).help(kind.summary));
    PossibleValuesParser::new(kinds)
        .try_map(|name| Anomaly::find(&name).ok_or("there is no such kind"))
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(0) => Err("must be 1 or more".to_string()),
        Ok(n) => Ok(n),
        Err(_) => Err("must be a whole number, 1 or more".to_string()),
    }
}
