use burn::module::{Module, Param};
use burn::tensor::Tensor;
use granule_io::words::counted;
use serde::{Deserialize, Serialize};

use super::parameters::{check_trainable, initial_state};
use super::{System, channel, plus};
use crate::model::{Field, Linear};
use crate::setting::{self, Range, Setting};
use crate::{DynamicsError, Held, Parameter, Place, State, Values, Variable};

/// Settings of [`LinearSystem`]; the default is a damped rotation in two variables that one population drives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct LinearSystemConfig {
    /// A (1/ms): one row for each variable, as many columns.
    pub a: Vec<Vec<f64>>,
    /// B (1/ms): one row for each variable, one column for each of the population's channels; empty without population.
    pub b: Vec<Vec<f64>>,
    /// C (1/ms): one row for each variable, one column for each external channel; empty without external input.
    pub c: Vec<Vec<f64>>,
    /// X at the beginning: one value for all variables or one for each.
    pub initial: Values,
    /// Which of `a`, `b`, `c` and `initial` training may move.
    pub trainable: Vec<String>,
}

impl Default for LinearSystemConfig {
    fn default() -> Self {
        Self {
            a: vec![vec![-0.05, -0.1], vec![0.1, -0.05]],
            b: vec![vec![0.1], vec![0.0]],
            c: Vec::new(),
            initial: 0.0.into(),
            trainable: Vec::new(),
        }
    }
}

impl LinearSystemConfig {
    /// The names that `trainable` may hold.
    pub const PARAMETERS: &'static [&'static str] = &["a", "b", "c", "initial"];

    fn initial(&self) -> Setting<'_> {
        Setting::new("initial", &self.initial, Range::Any)
    }

    /// Checks every value.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] for a matrix that does not fit or is not finite, or an unknown name.
    pub fn validate(&self) -> Result<(), DynamicsError> {
        let size = self.a.len();
        if size == 0 {
            return Err(DynamicsError::config("a", "[]", "at least one row"));
        }
        check_matrix("a", &self.a, size, Some(size))?;
        for (name, matrix) in [("b", &self.b), ("c", &self.c)] {
            if !matrix.is_empty() {
                check_matrix(name, matrix, size, None)?;
            }
        }
        setting::validate("", &[self.initial()], &[], (size, "unit"))?;
        check_trainable(&self.trainable, Self::PARAMETERS)
    }

    /// The system on a device.
    ///
    /// # Errors
    ///
    /// Those of [`validate`](Self::validate).
    pub fn init(&self, place: &Place) -> Result<LinearSystem, DynamicsError> {
        self.validate()?;
        let trained = |name: &str| self.trainable.iter().any(|other| other == name);
        let matrix = |name: &str, rows: &[Vec<f64>]| {
            let parameter = matrix_parameter(rows, place)?;
            Some(parameter.set_require_grad(trained(name)))
        };
        let a = matrix("a", &self.a).ok_or_else(|| DynamicsError::config("a", "[]", "one row"))?;
        Ok(LinearSystem {
            a,
            b: matrix("b", &self.b),
            c: matrix("c", &self.c),
            initial: self.initial().init("", &self.trainable, place)?,
        })
    }
}

/// Checks that every row of a matrix has `columns` values, or as many as the first, at least one, and that all are
/// finite.
pub(super) fn check_matrix(
    name: &str,
    matrix: &[Vec<f64>],
    rows: usize,
    columns: Option<usize>,
) -> Result<(), DynamicsError> {
    let columns = columns
        .unwrap_or_else(|| matrix.first().map_or(0, Vec::len))
        .max(1);
    if matrix.len() != rows || matrix.iter().any(|row| row.len() != columns) {
        let lengths: Vec<String> = matrix.iter().map(|row| row.len().to_string()).collect();
        let found = format!(
            "{} of {} values",
            counted(matrix.len(), "row"),
            lengths.join(", ")
        );
        let allowed = format!("{} of {}", counted(rows, "row"), counted(columns, "value"));
        return Err(DynamicsError::config(name, found, allowed));
    }
    for (i, row) in matrix.iter().enumerate() {
        if let Some(j) = row.iter().position(|value| !value.is_finite()) {
            return Err(DynamicsError::config(
                format!("{name}[{i}][{j}]"),
                row[j],
                "a finite number",
            ));
        }
    }
    Ok(())
}

/// A checked matrix as a parameter, `[rows, columns]`; nothing where it is empty.
pub(super) fn matrix_parameter(matrix: &[Vec<f64>], place: &Place) -> Option<Param<Tensor<2>>> {
    let columns = matrix.first()?.len();
    let values = place.tensor(matrix.concat(), [matrix.len(), columns]);
    Some(Param::from_tensor(values))
}

/// dX/dt = A X + B Y + C U.
///
/// State: X, `[batch, size]`. Input: Y in the first columns, as many as B has, then U, as many as C has. Observed and
/// given to other systems: X.
#[derive(Module, Debug)]
pub struct LinearSystem {
    /// A, `[size, size]` (1/ms).
    pub a: Param<Tensor<2>>,
    /// B, `[size, population]` (1/ms).
    pub b: Option<Param<Tensor<2>>>,
    /// C, `[size, external]` (1/ms).
    pub c: Option<Param<Tensor<2>>>,
    /// X at the beginning.
    pub initial: Parameter,
}

/// The widths of Y and U as channels.
pub(super) fn population_and_external(population: usize, external: usize) -> Vec<Variable> {
    vec![
        Variable::new("population", "1", population),
        Variable::new("external", "1", external),
    ]
}

impl LinearSystem {
    fn variables(&self) -> Vec<Variable> {
        vec![Variable::new("x", "1", self.a.dims()[0])]
    }
}

impl System for LinearSystem {
    type Field = LinearSystemField;

    fn field(&self) -> Result<Self::Field, DynamicsError> {
        let columns = |matrix: &Option<Param<Tensor<2>>>| {
            matrix.as_ref().map_or(0, |matrix| matrix.dims()[1])
        };
        let transposed = |matrix: &Param<Tensor<2>>| matrix.val().transpose();
        Ok(LinearSystemField {
            variables: self.variables(),
            inputs: population_and_external(columns(&self.b), columns(&self.c)),
            a: transposed(&self.a),
            b: self.b.as_ref().map(transposed),
            c: self.c.as_ref().map(transposed),
        })
    }

    fn initial_state(&self, batch: usize) -> Result<State, DynamicsError> {
        initial_state(
            std::slice::from_ref(&self.initial),
            &self.variables(),
            batch,
        )
    }

    fn settings(&self) -> Vec<(String, Held<'_>)> {
        let matrices = [
            ("a", Some(&self.a)),
            ("b", self.b.as_ref()),
            ("c", self.c.as_ref()),
        ];
        let matrices = matrices.into_iter();
        let matrices = matrices.filter_map(|(name, matrix)| Some((name, Held::Matrix(matrix?))));
        let all = matrices.chain([("initial", Held::Values(&self.initial))]);
        all.map(|(name, held)| (name.to_owned(), held)).collect()
    }
}

/// [`LinearSystem`] with its matrices' values.
#[derive(Clone, Debug)]
pub struct LinearSystemField {
    variables: Vec<Variable>,
    inputs: Vec<Variable>,
    /// Aᵀ
    a: Tensor<2>,
    /// Bᵀ
    b: Option<Tensor<2>>,
    /// Cᵀ
    c: Option<Tensor<2>>,
}

impl LinearSystemField {
    /// B Y + C U
    fn drive(&self, input: Option<&Tensor<2>>) -> Option<Tensor<2>> {
        let part = |index: usize, matrix: &Option<Tensor<2>>| {
            let channel = channel(&self.inputs, index, input)?;
            Some(channel.matmul(matrix.clone()?))
        };
        match (part(0, &self.b), part(1, &self.c)) {
            (Some(b), Some(c)) => Some(b + c),
            (b, c) => b.or(c),
        }
    }

    /// The diagonal of A, `[1, size]`.
    fn diagonal(&self) -> Tensor<2> {
        let place = Place::of(&self.a);
        let size = self.variables[0].width;
        let identity = (0..size * size).map(|i| if i % (size + 1) == 0 { 1.0 } else { 0.0 });
        let identity = place.tensor(identity.collect(), [size, size]);
        (self.a.clone() * identity).sum_dim(0)
    }
}

impl Field for LinearSystemField {
    fn name(&self) -> &str {
        "linear"
    }

    fn variables(&self) -> &[Variable] {
        &self.variables
    }

    fn inputs(&self) -> &[Variable] {
        &self.inputs
    }

    fn derivative(&self, _time: f64, state: &State, input: Option<&Tensor<2>>) -> State {
        let slope = state[0].clone().matmul(self.a.clone());
        State::new(vec![plus(slope, self.drive(input))])
    }

    fn groups(&self) -> &[Vec<usize>] {
        static ONE: std::sync::LazyLock<Vec<Vec<usize>>> =
            std::sync::LazyLock::new(|| vec![vec![0]]);
        &ONE
    }

    fn linear(
        &self,
        _group: usize,
        _time: f64,
        state: &State,
        input: Option<&Tensor<2>>,
    ) -> Vec<Linear> {
        let x = &state[0];
        let decay = self.diagonal().neg();
        let others = x.clone().matmul(self.a.clone()) + x.clone() * decay.clone();
        let drive = plus(others, self.drive(input));
        vec![Linear { decay, drive }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host;
    use crate::model::Constant;
    use crate::system::testing::{agrees_on_every_device, every_gradient_agrees, trace};
    use crate::testing::{assert_close, f64_place, f64_places};

    fn example() -> LinearSystemConfig {
        LinearSystemConfig {
            a: vec![
                vec![-0.1, -1.0, 0.2],
                vec![1.0, -0.2, 0.0],
                vec![0.05, 0.3, -0.4],
            ],
            b: vec![vec![1.0, 0.0], vec![0.0, 0.5], vec![0.3, -0.2]],
            c: vec![vec![0.1], vec![0.2], vec![0.3]],
            initial: vec![1.0, -0.5, 0.25].into(),
            trainable: LinearSystemConfig::PARAMETERS
                .iter()
                .map(|x| (*x).into())
                .collect(),
        }
    }

    const INPUT: [f64; 3] = [0.3, -0.7, 1.5];

    #[test]
    fn it_follows_the_matrix_exponential() {
        // The first three entries of exp(3·[[A, BY + CU], [0, 0]])·(x₀, 1).
        let expected = [-0.05378636782686, 1.46846698281098, 1.9241669905389];
        for (_, place) in f64_places() {
            let input = Constant(place.tensor(INPUT.to_vec(), [1, 3]));
            let (seen, _) = trace(&example().init(&place).unwrap(), &input, 0.01, 300);
            for (found, expected) in seen[300].iter().zip(expected) {
                assert_close(*found, expected, 1e-9);
            }
        }
    }

    #[test]
    fn the_linear_form_is_the_derivative() {
        let place = f64_place();
        let model = example().init(&place).unwrap();
        let (field, state) = (model.field().unwrap(), model.initial_state(2).unwrap());
        let input = place.tensor(INPUT.to_vec(), [1, 3]);
        let slope = host(field.derivative(0.0, &state, Some(&input))[0].clone()).unwrap();
        let form = field.linear(0, 0.0, &state, Some(&input)).remove(0);
        assert_eq!(host(form.decay.clone()).unwrap(), [0.1, 0.2, 0.4]);
        let rebuilt = form.drive - state[0].clone() * form.decay;
        for (found, expected) in host(rebuilt).unwrap().into_iter().zip(slope) {
            assert_close(found, expected, 1e-14);
        }
    }

    #[test]
    fn gradients_agree_with_central_differences() {
        every_gradient_agrees(|place| example().init(place).unwrap(), &INPUT, 0.1, 20);
    }

    #[test]
    fn single_precision_follows_on_every_device() {
        agrees_on_every_device(
            |place| example().init(place).unwrap(),
            &INPUT,
            0.1,
            10,
            1e-5,
        );
    }

    #[test]
    fn matrices_that_do_not_fit_are_named() {
        let refused = |config: LinearSystemConfig| config.validate().unwrap_err().to_string();
        let error = refused(LinearSystemConfig {
            a: vec![vec![1.0, 2.0]],
            ..example()
        });
        assert!(error.starts_with("a = 1 row of 2 values"), "{error}");
        let error = refused(LinearSystemConfig {
            b: vec![vec![1.0]; 2],
            ..example()
        });
        assert!(error.starts_with("b = 2 rows"), "{error}");
        let mut config = example();
        config.c[1][0] = f64::NAN;
        assert!(refused(config).starts_with("c[1][0] = NaN"));
        assert!(
            refused(LinearSystemConfig {
                a: vec![],
                ..example()
            })
            .starts_with("a = []")
        );
    }

    #[test]
    fn an_input_that_does_not_fit_is_an_error() {
        use crate::model::{Clock, Dynamics, Model};
        use crate::solver::Rk4;
        use crate::system::Integrated;
        let place = f64_place();
        let model = Integrated::new(example().init(&place).unwrap(), Rk4);
        let state = model.initial_state(2).unwrap();
        let at = Clock {
            step: 0,
            time: 0.0,
            dt: 0.1,
        };
        for shape in [[1, 2], [3, 3]] {
            let input: Tensor<2> = place.full(1.0, shape);
            let error = model
                .dynamics()
                .unwrap()
                .step(at, &state, Some(&input))
                .unwrap_err();
            assert!(matches!(error, DynamicsError::Shape { .. }), "{error}");
        }
    }
}
