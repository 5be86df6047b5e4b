//! The long texts below each command's options.

use granule::simulate::analysis::ANALYSES;
use granule::train::probe::PROBES;
use serde_json::Value;

pub fn train() -> String {
    format!("{TRAIN_HEAD}\n{DEFAULTS_BY_MODEL}\n{TRAIN_TAIL}")
}

pub const GRANULE: &str = "\
Examples:
  granule train                                 an MLP on drawn digits, no download
  granule train lenet --dataset mnist           LeNet on MNIST, fetched on first use
  granule train lenet --dataset mnist --device wgpu
  granule eval runs/RUN                         test it again, on any device
  granule predict runs/RUN digit.png            use it
  granule export runs/RUN --out lenet.onnx      take it elsewhere
  granule config lenet                          every key of its configuration, for --set and TOML

Exit codes: 0 fine, 1 failed, 2 wrong usage, 130 interrupted.
`granule help COMMAND` says more about one command.";

const TRAIN_HEAD: &str = "\
Examples:
  granule train
      an MLP on the built-in synthetic digits: no network, no GPU, no data set needed
  granule train lenet --dataset mnist --epochs 10
  granule train resnet --dataset cifar-10 --device gpu
  granule train cnn --dataset cifar-10 --data-dir ~/data --offline --limit-train 5000
  granule train mlp --set model.widths=[256,128] --set model.dropout=0.2 --optimizer adamw
  granule train runs/RUN/config.toml --seed 7
      a run again on the same data, with another seed
  granule train mlp --seeds 5
      five runs with seeds 1 to 5, and a table with the mean and the spread of their scores
  granule train mlp --dataset arrays:cells.npz --folds 5
      five runs, each tested on another fifth of the samples
  granule train lenet --dataset mnist --sweep data.limit_train=500,5000,50000 --csv curve.csv
      a learning curve: a run for each value of a key, and a table of their scores
  granule train rate --dataset mnist
      a rate network that sees images row by row
  granule train rate --task perceptual-decision --set model.dale_ratio=0.8
      a cognitive task: new trials in every epoch, Dale's law
  granule train gru --task delayed-match
      gated recurrent units on another, as lstm; wilson-cowan learns as well
  granule train rate --task flip-flop --trials 3200 --set data.task.bits=2
  granule train three_levels.toml --set data.recording.file=recording.npz
      cells, a population and a system, fitted to what `granule simulate --out` wrote
  granule train decode-kinematics --dataset recording:DIR
      movement from spike counts, next to ridge regression; `granule presets decode-kinematics`
      prints the names of arrays that it reads, which --set data.decoding.signal=NAME changes
  granule train adapt-decoder --dataset recording:DIR --from DAY1
      a decoder of another session, with other neurons, from few bins of this one
  granule train fuse-populations --dataset recording:DIR
      the same from two populations, each with a network of its own
  granule train identify-objects --dataset recording:DIR
      what was seen, from the spike counts of trials, with a permutation test
  granule train predict-activity --dataset recording:DIR
      some neurons from the others, in bits per spike
  granule train detect-anomalies --dataset recording:DIR
      learns usual activity, from which `granule detect` tells unusual one
  granule train --resume runs/RUN
      go on after Ctrl-C, a crash or a power cut; --device X goes on elsewhere, --data-dir DIR
      with data that moved
  granule train --continue runs/RUN --epochs 20 --lr 1e-4
      20 more epochs of a finished run, as a new run
  granule train --from runs/RUN --dataset folder:photos
      the weights of another run to begin with

Configuration:
  A TOML file, then the flags and --set decide, the later one wins; a flag and --set must not
  differ. What none of them names keeps its default. Naming another model, optimiser or
  schedule resets that table to the defaults of its kind. VALUE of --set is TOML; a bare word is
  a string; an empty VALUE takes the default back. A relative path in the file is one from its
  folder, on the command line one from where you are. `granule config MODEL` prints every key
  with its default, range and help; RUN/config.toml has the whole configuration of a run.
";

/// [`RunConfig::recipe`](granule::train::RunConfig::recipe) in words.
const DEFAULTS_BY_MODEL: &str = "\
Defaults by model:
  model   optimiser                         schedule   batch  epochs
  mlp     adam, lr 0.001                    cosine        64      10
          on your own data adamw, weight decay 1
  lenet   adam, lr 0.001                    cosine        64      10
  cnn     sgd, lr 0.01, momentum 0.9        cosine        64      10
  resnet  sgd, lr 0.1, momentum 0.9,        one-cycle    128      30
          nesterov, weight decay 0.0005;
          label smoothing 0.1; on CIFAR
          random crops and mirror images
  rate    adam, lr 0.003                    cosine        64      10
          gradient norm at most 1
  gru     adam, lr 0.003                    cosine        64      10
          gradient norm at most 1
  lstm    adam, lr 0.003                    cosine        64      10
          gradient norm at most 1
  wilson-cowan:
          adam, lr 0.003                    cosine        64      10
          gradient norm at most 1
  sequential (layers in a file):
          adam, lr 0.001                    cosine        64      10
  multi-granularity (in a file, see below):
          adam, lr 0.01                     cosine        64     400
          gradient norm at most 1
  On a data set of few samples there are more epochs, as many as 2,000 optimiser steps take (mlp
  4,000, resnet 1,000); --epochs or train.epochs says otherwise.
";

const TRAIN_TAIL: &str = "\
Models of several levels, in a TOML file:
  model.kind = \"multi-granularity\", with [[model.level]] and [[model.coupler]] as in
  `granule presets multi-granularity`, and what they are to do in data.recording:
  data.recording.file   .npz with time (ms) and an array for each quantity in model.observe,
                        [samples, columns] or [trials, samples, columns]; stimulus.LEVEL is
                        the input of a level with external = true
  data.recording.test   the share of the trials, or of the time of a single one, to test on
  train.turns           [[\"cells\"], [\"couplers\"]]: who learns, turn after turn
  train.memory          \"full\", {segments = 20} or {nested = [5, 5]}: what is kept for the
                        backward pass [default: about √T segments of T steps]
  `granule simulate RUN` runs the trained model.

Run folder:
  config.toml  metrics.jsonl  metrics.csv  events.out.tfevents.*  report.html  report.json
  result.json  model.granule  checkpoints/step-*.ckpt  checkpoints/best.ckpt

  A checkpoint is a model: eval, predict, --from and granule::load take it, and a run folder.

Which weights model.granule has:
  without validation the last ones; with it (data.validation, data.trials.validation) train.keep
  decides: \"best-score\" (default) those of the epoch with the highest validation accuracy, or the
  lowest loss where there is no accuracy; \"best-loss\" those with the lowest loss; \"last\". It is
  said before and after; checkpoints/ keeps the best and the last ones in any case.

Going on and beginning with weights:
  --resume ends with the weights of a run that was never interrupted, bit for bit on a CPU; on
  another device than before it agrees within rounding. It takes the flags that change where a run
  is and not what it is: --device, --data-dir, --offline, --dataset of the same kind at another
  place, and --set of data.recording.file, train.checkpoint_every_steps and
  train.keep_checkpoints. --continue takes all flags; batches are drawn as the next epochs of the
  first run, the learning rate has its whole course anew. --from takes the weights alone: where the
  number of classes is another, all but those of the last layer, which is drawn anew, and where the
  number of channels is, all but those of the first.

Units:
  accuracy is a fraction in --json and a percentage elsewhere; times are in seconds; limits,
  batches and throughput count samples.

Ctrl-C (or SIGTERM) saves a checkpoint and exits with 130; a second one stops at once.
Exit codes: 0 fine, 1 failed, 2 wrong usage, 130 interrupted.";

pub const EVAL: &str = "\
Examples:
  granule eval runs/RUN
  granule eval runs/RUN --device wgpu
  granule eval model.granule --dataset mnist --data-dir ~/data
  granule eval runs/RUN/checkpoints/best.ckpt
  granule eval runs/RUN --json | jq .test_accuracy
  granule eval runs/RUN --limit-test 500
      of a run on a task: on the first 500 of its test trials

The data are looked for in --data-dir, else $GRANULE_DATA_DIR, else where the run had them. A test
part is tested; of folders and arrays without one, what training held out, or all samples where
--dataset names another set.
All test samples are used, also when the run was limited to some; --limit-test limits them.

Prints the classification report: precision, recall and F1 per class as fractions, support in
samples. --json prints one object; accuracy is a fraction, seconds are seconds.";

pub const DETECT: &str = "\
Examples:
  granule train detect-anomalies --dataset recording:DIR
      learns to reconstruct usual activity
  granule detect runs/RUN
  granule detect runs/RUN --false-alarms 0.01 --anomaly lesion --lesion 0.1
  granule detect runs/RUN --dataset recording:session2
      another recording of the same channels beside the normal samples
  granule detect runs/RUN --csv > scores.csv

The score of a sample is the error with which the model reconstructs it, of each channel in
units of what it is in the mean of training, so that usual scores are about 1. The normal
samples are those of the test part. Unusual ones are made of them, as data.seed draws it: a
lesion silences a share of the channels, shuffle gives channels one another's activity, shift
moves each channel in a circle on its own, which leaves its activity as it is and ends what it
has to do with the others. The threshold is from samples held out of training (data.validation),
so that the false alarms among the normal ones are measured and not set. Two that a model has to
beat stand below it: the distance in means and variances of the channels alone, and Mahalanobis'
distance, whose penalty is chosen by cross-validation in the training part.

AUROC is the probability that an unusual sample has a higher score than a normal one. --json
prints shares as fractions.";

pub const IMPORTANCE: &str = "\
Examples:
  granule importance runs/RUN
      which channels (units) the decoder uses; for arrays: which features
  granule importance runs/RUN --by lag
      which bins of its window, and what a regression on each of them alone can do
  granule importance runs/RUN --by group --group [[0,36]] --group [[36,71]]
  granule importance runs/RUN --repeats 30 --csv units.csv
  granule importance runs/RUN --json | jq '.parts[] | select(.drop.mean > 0.01) | .name'

On the test part, which the model has not learnt from, each part of what it sees is taken from
another sample (permutation importance: Breiman 2001; Fisher, Rudin & Dominici 2019); the loss
is how much the score falls: R\u{b2} of real values, balanced accuracy of classes, bits per spike of
counts. A channel is shuffled with all its lags, a lag with all its channels. Mean and standard
deviation are over the repeats, each of which shuffles all parts by one order. Beside the model
stands the ridge or Poisson regression that sees most, shuffled alike. Of channels that say the
same none need be important, and what is important here may be so for this model alone.

In a run folder it is written to importance.json, and report.html shows it, unless --dataset, --set
or --limit-test test on something else. Ctrl-C ends it with the repeats that are whole.";

pub const RECEPTIVE_FIELDS: &str = "\
Examples:
  granule receptive-fields runs/RUN
      what each output answers to most, longest field first
  granule receptive-fields runs/RUN --csv fields.csv
      every slope: a row for each output, lag and channel
  granule receptive-fields runs/RUN --json | jq '.fields[] | select(.cosine < 0.5) | .output'

A field is the mean over the test part of an output\u{2019}s slope by each channel at each lag: of the
logarithm of the rate where counts are predicted, of a class\u{2019}s logit, of a real value in its
standard deviations; for a channel that grows by one of its own. Beside it stand the weights of the
ridge or Poisson regression that sees most, and the cosine between the two: near 1 the model does
what a linear one does, and what is left is what it adds. \u{201c}length\u{201d} is the root of the sum of
squares.

In a run folder it is written to receptive_fields.json, and report.html draws the longest as maps,
unless --dataset, --set or --limit-test test on something else.";

pub const PREDICT: &str = "\
Examples:
  granule predict runs/RUN digit.png
  granule predict model.granule *.jpg --top 1
  granule predict runs/RUN photo.jpg --resize
  granule predict runs/RUN scan.png --resize --invert
  granule predict runs/RUN test/ --csv > answers.csv
      all images of a folder and of those in it
  curl -s https://example.org/digit.png | granule predict runs/RUN -
  granule predict runs/RUN batch.npy --json
  granule predict runs/RUN new.npz --csv
  granule predict runs/RUN recording:session2 --csv
      every bin of a recording, by what the run decodes (data.decoding)

Images are read as in training: turned upright, transparent pixels laid over the same background,
converted to grey or RGB. They must have the size of the model's input, or be scaled with --resize,
unless training scaled them. An input that cannot be used is reported, the others are answered, and
the exit code is 1. An array holds one item or a batch of items: for image models [height, width]
(grey), [channels, height, width] or [height, width, channels], integers from 0 to 255 or floats
from 0 to 1 unless training or --range had others; for feature models [features]; of any number
type. Of a .npz it is x, x_test, images, features, X or data, the first that is there, or the only
one. Probabilities are fractions in --json.";

pub const STREAM: &str = "\
Examples:
  granule stream runs/RUN --header < bins.csv > answers.csv
      a line for each bin: counts of the channels, apart by commas or blanks, or as [1, 0, 2]
  acquire --bin 20ms | granule stream runs/RUN --json | control
      answers as they come; an empty line ends a trial, whose window begins anew
  granule stream runs/RUN --listen 127.0.0.1:7000
      the same for one program after the other that connects

Each line is answered at once: trial and bin, both from 0, then the outputs in the units of
training, or the class and its probability. A model that sees bins ahead answers so many bins
later, the last ones at the end of the trial. Beyond the edge of a trial stand the means of
training, as there. The command ends with the last line; how long answers took is printed then.
A line that is no bin ends it with exit code 1.";

pub const EXPORT: &str = "\
Examples:
  granule export runs/RUN --out lenet.safetensors
  granule export runs/RUN --out lenet.onnx
  granule export model.granule --format npz --out weights.npz

safetensors and npz hold the weights by the names, and in the layouts, of PyTorch:
  model.load_state_dict(safetensors.torch.load_file(\"lenet.safetensors\"))
onnx (opset 17, IR version 8) is the whole model for any batch. It takes images as numbers from 0
to 1, channel, row, column, other samples as they are; it normalises them itself, and gives the
logits of classes, or real values in their units. Models of several levels are not written as onnx.

The modules of PyTorch that fit are in tests/interop/modules.py.";

pub const IMPORT: &str = "\
Examples:
  granule import lenet.pt --model lenet --dataset mnist --out lenet.granule
      classes and normalisation of MNIST, as `granule train` finds them
  granule import lenet.safetensors --model runs/RUN --out lenet.granule
      those of a run
  granule import cnn.pth --model cnn --set model.batch_norm=true --input 3x32x32 \\
      --classes cat,dog --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 --out pets.granule
  granule import lenet.onnx --model lenet --input 1x28x28 --out lenet.granule

What the file does not say, the model, its input, its classes and how that input is normalised, is
of the run, the data set or the flags, a flag before the others; the command says what it took. The
normalisation that a graph of ONNX may have is not read: give it by --mean and --std. Of PyTorch's
exporter: torch.onnx.export(..., external_data=False, optimize=False).

Names and layouts are those of PyTorch, as the modules in tests/interop/modules.py have them. Names
and shapes must be those of the model; what all names begin with, as `module.`, is left out. Weights
in float16, bfloat16 and float64 are converted. A state dict is read by a parser that runs nothing:
a pickle that asks for more than tensors is refused.";

pub const REPORT: &str = "\
Examples:
  granule report runs/RUN
  granule report runs/RUN/checkpoints/best.ckpt
      the report of the run that the checkpoint belongs to

Prints the path of the page. It is one self-contained HTML file. A run that was interrupted, was
killed or failed is reported as far as it came.";

pub const RUNS: &str = "\
Examples:
  granule runs
  granule runs experiments --json

Sorted by date, the latest last. The score is the accuracy on the test part, or R². --json prints
accuracy as a fraction.";

pub const COMPARE: &str = "\
Examples:
  granule compare runs/A runs/B
  granule compare runs/* --out compare.html

Prints the scores, the settings that differ, and the loss and accuracy by epoch: of validation where
there is one, else of training.";

const ANALYZE: &str = "\
Examples:
  granule analyze fixed-points wilson-cowan --plot plane.svg
  granule analyze continuation fitzhugh-nagumo --with parameter=stimulus.amplitude.0 \\
      --with from=0 --with to=2 --plot branches.svg
      where the rest state loses its stability, and the cycles between
  granule analyze lyapunov rate-sine --set population.units=100 --duration 500
  granule analyze spectrum jansen-rit --set 'record.variables=[\"y1\"]' --json
  granule analyze pca rate-sine --out components.npz
  granule analyze fc whole-brain --with variable=bold
  granule analyze eeg jansen-rit --set system.nodes=2 --with lead_field=lead.csv --plot eeg.svg
  granule analyze spikes balanced-network --with from=200 --out spikes.csv
  granule analyze fit hodgkin-huxley --with recording=v.csv --with starts=8 --with profile=9 \\
      --with 'parameters=[\"unit.parameters.g_na=50..200:log\",\"unit.parameters.g_k\"]'
      the conductances that answer as the recorded cell does, and how well they are known

What is analysed is a preset or a TOML file as `granule simulate` takes it, with its flags. The first
three look at its equations, with the stimulus held as it is at the end, or at the time `at`; the
others run it and look at what it records. All are in double precision. --out writes the first
table as .csv, or all tables and arrays as .npz.

Settings, for --with:
";

/// Every analysis with its settings.
pub fn analyze() -> String {
    let all = ANALYSES.iter();
    with_settings(
        ANALYZE,
        all.map(|own| (own.name, own.summary, (own.schema)().to_value())),
    )
}

/// A text, and names with what they are about and their settings.
fn with_settings(
    text: &str,
    all: impl Iterator<Item = (&'static str, &'static str, Value)>,
) -> String {
    let mut text = text.to_owned();
    for (name, summary, schema) in all {
        text.push_str(&format!("  {name}: {summary}\n"));
        let properties = schema.get("properties").and_then(|all| all.as_object());
        for (name, own) in properties.into_iter().flatten() {
            let about = own.get("description").and_then(|text| text.as_str());
            let about = about.unwrap_or_default().replace('\n', " ");
            text.push_str(&format!("    {name:<12} {about}\n"));
        }
    }
    text
}

const PROBE: &str = "\
Examples:
  granule train rate --task perceptual-decision --run-dir decision
  granule probe choices decision --ablate units=[[0,20]] --plot choices.svg
      the score and the psychometric curve, intact and without 20 units
  granule probe tuning decision --with period=stimulus --out tuning.csv
  granule probe dpca decision --plot components.svg
  granule probe activity decision --trials 100 --out activity.npz
  granule probe choices decision --perturb current=0.5,units=[[0,10]],period=stimulus
  granule probe choices decision --lesion from=inhibitory,to=excitatory

The network is one of rate, wilson-cowan, gru or lstm, trained on a task; populations are those of a
network under Dale's law. It runs step by step on the CPU, without its own noise, on the trials of its
test, or on others by --seed. Current and noise are added to the input of each unit (of a GRU or LSTM to
that of its new value) during the period; noise is white, in √ms, as that of tasks: a step of dt ms
gets a normal number of its deviation over √dt. A unit that is ablated hands nothing on; a lesion takes
the weights between units away, for whole trials.

Settings, for --with:
";

/// Every probe with its settings.
pub fn probe() -> String {
    let all = PROBES.iter();
    with_settings(
        PROBE,
        all.map(|own| (own.name, own.summary, (own.schema)().to_value())),
    )
}

pub const SIMULATE: &str = "\
Examples:
  granule simulate hodgkin-huxley --plot trace.svg
  granule simulate hodgkin-huxley --set unit.current=15 --set unit.parameters.g_na=100 --json
  granule simulate fi-curve --plot f-i.png --size 85x60mm --dpi 300
  granule simulate balanced-network --duration 1000 --seed 3 --out spikes.npz
  granule simulate brunel --duration 60000 --set record.variables='[\"excitatory.v\"]' --stream long
  granule presets adex > cell.toml; granule simulate cell.toml --dt 0.01
  granule simulate runs/RUN --plot model.svg
      a trained model of several levels, over the time of its recording and with its stimulus
  granule simulate cell.toml --set stimulus.kind=file --set stimulus.file=current.csv
  granule simulate whole-brain --set connectivity.weights.file=weights.npy

Configuration:
  A preset or a TOML file, then the flags and --set decide, the later one wins; a flag and --set
  must not differ. VALUE of --set is TOML; a bare word is a string; an empty VALUE takes the
  default back, or a preset's table away. An element of a list goes by its index or its name:
  composite.coupler.0.delay=5, composite.level.cells.unit.cells=10. What of a preset or file
  another unit.kind does not know is dropped with a note. Exactly one of the tables unit,
  population, circuit, system, network and composite says what is simulated; duration, dt, solver, seed,
  figure and the tables stimulus and record say how.

  unit.kind            hodgkin-huxley, adex, conductance, cable, …: `granule config unit.kind` has all
  unit.current          a constant current; a list makes as many cells
  unit.parameters.NAME  g_na, time_constant, …: one number, or one for each cell
  unit.initial.NAME     v, w, u, m, h, n: the cell's state at the beginning
  system.kind           jansen-rit, montbrio-pazo-roxin, wong-wang, wilson-cowan, …
  connectivity          weights, delays and strength between the nodes of a system
  readout, bold         rate, activity or local-field-potential of a system; its BOLD signal
  stimulus.kind         step, pulse, sine, noise: with amplitude, onset and more; file, see below
  record                every (steps), variables (names), columns (the first N)
  figure                traces, phase-plane, raster, fi-curve
  rate_bin              ms: the bins of the rate below a raster

Files:
  Numbers of the model may be in a file, .npy, .npz or .csv, named from the folder of the TOML file:
    current = { file = \"currents.npy\" }             one for each cell
    weights = { file = \"sc.npz\", array = \"w\" }     which array of several; columns of a .csv
  A stimulus in a file has a column for each channel, or one for all; it is averaged over each step:
    [stimulus]
    kind = \"file\"
    file = \"current.csv\"       times in a column `time (ms)` or `time (s)`, of an .npz in `time`
    interval = 0.1             ms from one sample to the next, where the file has no times
    unit = \"nA/cm²\"           converted to the model's; also from a header such as `i (nA/cm²)`
    interpolation = \"linear\"  between samples; \"hold\" by default
    array, amplitude           which one of the file, a factor
    onset = 0                  when its first sample begins; else when its times say, 0 without times
  Before its first sample and after the end of the last one there is no stimulus, and a note says so.

Units:
  ms, mV, Hz; currents µA/cm² (adex: pA, izhikevich: mV/ms, qif: none), conductances mS/cm² (adex:
  nS), capacitance µF/cm² (adex: pF).

Result:
  Of cells, --json prints {\"cells\": [{\"spike_times_ms\", \"rate_hz\", \"mean_rate_hz\",
  \"final_state\"}, …], \"duration_ms\", \"dt_ms\", \"solver\", \"device\", \"precision\", \"seed\",
  \"version\", \"config\"}. A spike is an upward crossing of unit.spike_threshold, interpolated
  linearly, or the reset of an integrate-and-fire cell, located inside the step. rate_hz is that of
  the last interval, or 0 for a cell that has been silent for twice its longest interval, here, in
  text and in figures; mean_rate_hz is the number of spikes over the time. Other models print
  rates, the spikes of all cells by group, means and the last state with the same end.
  --out FILE.npz has time, the variables [time, cells], spike_times and spike_cells, and as texts
  granule_version, seed, config and precision; --out FILE.csv has the variables, FILE.spikes.csv
  the spikes. --stream FOLDER is for runs whose record does not fit into memory: every array is a file of its
  own that grows while it runs, and is whole at any time: np.load(\"FOLDER/v.npy\", mmap_mode=\"r\"). It has no figure. Of a
  trained model (RUN), config has the learnt values. A file that was read is not
  written over.

Ctrl-C writes what there is so far and exits with 130; a second one stops at once.
Exit codes: 0 fine, 1 failed, 2 wrong usage, 130 interrupted.";

pub const PRESETS: &str = "\
Examples:
  granule presets
  granule presets hodgkin-huxley > cell.toml
  granule presets --json";

pub const CONFIG: &str = "\
Examples:
  granule config                     everything that granule train reads, as `granule train` (mlp) has it
  granule config lenet > my.toml     as lenet has it; edit it, then: granule train my.toml
  granule config runs/RUN            as a run has it
  granule config hodgkin-huxley      everything that a simulation reads, as this preset has it
  granule config patience            one key; also a table (optimizer), a kind (adamw, jansen-rit),
                                     a path (train.early_stopping) or a word (gradient)
  granule config train --json > granule-train.schema.json
  granule config simulate --json > granule-simulate.schema.json
      for editors: `#:schema ./granule-train.schema.json` as the first line of a TOML file gives
      completion and checks in those that use taplo (Even Better TOML)

What is printed of a model, preset, file or run is TOML: keys that are unset stand as comments, the
kinds that could be chosen stand beside `kind`, with keys of their own (`granule config KIND`).";

pub const COMPLETIONS: &str = "\
Examples:
  granule completions bash > ~/.local/share/bash-completion/completions/granule
  granule completions zsh > ~/.zfunc/_granule      with ~/.zfunc in $fpath
  granule completions fish > ~/.config/fish/completions/granule.fish";

pub const DEVICES: &str = "\
Examples:
  granule devices
  granule devices --json
  GRANULE_DEVICE=flex granule train

The first column is what --device takes. `cpu` is the faster CPU backend, `gpu` the best GPU,
`auto` a real GPU if there is one, else `cpu`. A software adapter is used only when named.";

pub const BENCH: &str = "\
Examples:
  granule bench
      every row, in about two minutes on a CPU
  granule bench train predict-lenet --device flex
  granule bench simulate --seconds 10
  granule bench --json > bench.jsonl
  granule bench --against cells --plot cells.svg
      what a step of a cell costs among 1 to 1,000,000 of them
  granule bench --list

Samples are random numbers and models have random weights: nothing is read, downloaded or written.
Each row runs once to warm up, then for about --seconds; the median of its rounds is printed, the
least and the largest, and where the arithmetic of a round is known how much of the quickest matrix
product that is, which may be more than all of it where convolutions save multiplications. A
simulation that takes far too long on a device is cut, and its row says so. Other work on the
machine makes every number worse.";

pub const DATA: &str = "\
Examples:
  granule data list
  granule data fetch mnist
  granule data verify cifar-10 --data-dir ~/data
  granule data inspect session1
  granule data preview synthetic-digits --out digits.png";

pub const DATA_LIST: &str = "\
Examples:
  granule data list
  granule data list --data-dir ~/data --json";

pub const DATA_FETCH: &str = "\
Examples:
  granule data fetch mnist
  granule data fetch cifar-10 --data-dir ~/data

Files come from the first mirror that answers, a broken download continues where it stopped, and
a file whose checksum is wrong is never kept. What is already there is only checked.";

pub const DATA_VERIFY: &str = "\
Examples:
  granule data verify mnist
  granule data verify cifar-10 --data-dir ~/data --json

Exit code 1 if a file is missing or its checksum differs.";

pub const DATA_INSPECT: &str = "\
Examples:
  granule data inspect session1
  granule data inspect session1.nwb
  granule data inspect session1/counts.npy --json

A folder of .npy, NIfTI and CSV files or of sorted spikes (Kilosort, Phy), or an .npz, MATLAB
(.mat), HDF5, NWB, NIfTI (.nii, .nii.gz) or CSV (.csv, .tsv) file, as `--dataset
recording:PATH` takes it. Each array is shown by the name that data.decoding.signal and
data.decoding.target take, with its shape, its type, its least, mean and greatest number, how
many are NaN, and how many channels never change (the first of them by number, from 0). Its
role is judged by shape: what has as many rows as a wider array may be decoded from it. What
has times, such as units and series, is brought to bins by data.decoding.bin_width. All numbers
are read, a block at a time. The last line is a command that trains on what stands out. What is
of no use says why; where nothing can be read, the command fails.";

pub const DATA_PREVIEW: &str = "\
Examples:
  granule data preview synthetic-digits --out digits.png
  granule data preview cifar-10 --columns 16 --rows 8 --out cifar.png
  granule data preview folder:photos --out photos.png";

#[cfg(test)]
mod tests {
    use granule::models::ModelConfig;
    use granule::train::RunConfig;

    use super::*;

    #[test]
    fn the_help_says_what_the_defaults_are() {
        for name in ModelConfig::names() {
            let model = ModelConfig::from_name(name).unwrap();
            let config = RunConfig::recipe(model, Default::default());
            config.validate().unwrap();
            let mut rows = DEFAULTS_BY_MODEL.lines();
            let row = { &mut rows }
                .find(|line| line.trim_start().starts_with(name))
                .unwrap();
            // A long name stands in a row of its own.
            let row = if row.ends_with(':') {
                rows.next().unwrap()
            } else {
                row
            };
            let expected = [
                config.optimizer.name().to_string(),
                format!("lr {}", config.optimizer.lr()),
                config.schedule.name().to_string(),
                format!(" {} ", config.train.batch_size),
            ];
            for text in expected {
                assert!(row.contains(&text), "{row}: {text}");
            }
            assert!(row.ends_with(&format!(" {}", config.train.epochs)), "{row}");
        }
    }
}
