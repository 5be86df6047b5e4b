use burn::module::Param;
use burn::tensor::Tensor;

use super::connection::PlasticConnection;
use super::rule::{Activity, Rule};
use crate::{DynamicsError, State};

/// Changes a weight of any Burn module, `[pre, post]` as Burn's `Linear` has it, by a rule: an adjustment after training by
/// gradient, in the order of `activities`. Returns the weight, which keeps its identity and stays trainable if it was, and
/// the rule's traces, with which a later call goes on.
///
/// Nothing here is recorded for a gradient.
///
/// # Errors
///
/// [`DynamicsError::Shape`] for activities or traces that do not fit the weight.
///
/// ```
/// use burn::nn::{Linear, LinearConfig};
/// use burn::tensor::Tensor;
/// use granule_device::DeviceSpec;
/// use granule_dynamics::Place;
/// use granule_dynamics::plasticity::{Activity, OjaConfig, adjust};
///
/// let device = DeviceSpec::Cpu.open()?.burn().clone();
/// let mut linear: Linear = LinearConfig::new(2, 1).with_bias(false).init(&device);
/// let rows = Tensor::<2>::from_floats([[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]], &device);
///
/// let oja = OjaConfig { rate: 0.1, ..OjaConfig::default() }.init(&Place::f32(&device))?;
/// for _ in 0..400 {
///     let activity = Activity { pre: rows.clone(), post: linear.forward(rows.clone()), dt: 1.0, reward: None };
///     (linear.weight, _) = adjust(linear.weight, &oja, [activity], None)?;
/// }
/// // The first principal component of the rows.
/// let weight = linear.weight.val().into_data().to_vec::<f32>()?;
/// assert!((weight[0].abs() - 1.0).abs() < 1e-4 && weight[1].abs() < 1e-4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn adjust(
    weight: Param<Tensor<2>>,
    rule: &dyn Rule,
    activities: impl IntoIterator<Item = Activity>,
    traces: Option<State>,
) -> Result<(Param<Tensor<2>>, State), DynamicsError> {
    let before = weight.val();
    let connection = PlasticConnection::new(rule, before.clone().without_autodiff());
    let start = connection.initial(1, true);
    let mut state = match traces {
        Some(traces) => {
            traces.check(&connection.variables()[1..])?;
            let weights = vec![start[0].clone()];
            State::new([weights, traces.into_tensors()].concat())
        }
        None => start,
    };
    for activity in activities {
        let activity = Activity {
            pre: activity.pre.without_autodiff(),
            post: activity.post.without_autodiff(),
            dt: activity.dt,
            reward: activity.reward.map(Tensor::without_autodiff),
        };
        state = connection.learn(&state, &activity)?.without_autodiff();
    }
    let mut tensors = state.into_tensors().into_iter();
    let values = tensors.next().map(|w| w.reshape(before.dims()));
    let traces = State::new(tensors.collect());
    let trained = before.is_require_grad();
    let weight = weight.map(|before| match values {
        Some(values) if before.is_autodiff() => values
            .to_device(&before.device())
            .autodiff()
            .set_require_grad(trained),
        Some(values) => values,
        None => before,
    });
    Ok((weight, traces))
}
