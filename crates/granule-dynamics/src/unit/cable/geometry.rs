//! Trees of compartments as the solver takes them.

use granule_ops::Tree;

/// The most compartments of a model.
pub(super) const MOST: usize = 1 << 20;

/// Where a node of a tree is joined to the one before it. Ways are lengths over cross-sections, 1/cm: times the axial
/// resistivity they are resistances.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Node {
    /// The node that it is joined to; a root has none.
    pub(super) parent: Option<usize>,
    /// The way from its middle to where it is joined.
    pub(super) own: f64,
    /// The way on from there to the middle of the parent.
    pub(super) beyond: f64,
}

impl Node {
    /// A node that is joined to nothing.
    pub(super) const ROOT: Self = Self {
        parent: None,
        own: 0.0,
        beyond: 0.0,
    };

    /// Between the middles, times the resistivity: mS·Ωcm. 0 for a root.
    pub(super) fn conductance(&self) -> f64 {
        match self.parent {
            Some(_) => 1e3 / (self.own + self.beyond),
            None => 0.0,
        }
    }
}

/// Compartments, and points at which several of them meet, which have no membrane.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Geometry {
    /// The area of the membrane of each compartment, cm².
    pub(super) areas: Vec<f64>,
    /// The compartments in their order, then the points.
    pub(super) nodes: Vec<Node>,
}

impl Geometry {
    /// How many compartments.
    pub(super) fn compartments(&self) -> usize {
        self.areas.len()
    }

    /// How many points.
    pub(super) fn points(&self) -> usize {
        self.nodes.len() - self.areas.len()
    }

    /// The tree of the nodes; none where they go round in a circle.
    pub(super) fn tree(&self) -> Option<Tree> {
        let parents: Vec<Option<usize>> = self.nodes.iter().map(|node| node.parent).collect();
        Tree::new(&parents)
    }

    /// What the equation of each node is divided by besides the capacitance: the area of a compartment, and of a point,
    /// whose equation is that nothing stays in it, the sum of its conductances.
    pub(super) fn weights(&self) -> Vec<f64> {
        let mut weights = self.areas.clone();
        weights.resize(self.nodes.len(), 0.0);
        let first = self.compartments();
        for (index, node) in self.nodes.iter().enumerate() {
            let ends = [Some(index), node.parent].into_iter().flatten();
            for end in ends.filter(|end| *end >= first) {
                weights[end] += node.conductance();
            }
        }
        weights
    }

    /// As many copies, one after another, joined to nothing of each other.
    pub(super) fn repeated(&self, copies: usize) -> Self {
        let (own, points) = (self.compartments(), self.points());
        let moved = |node: usize, copy: usize| match node.checked_sub(own) {
            None => copy * own + node,
            Some(point) => copies * own + copy * points + point,
        };
        let (compartments, meeting) = self.nodes.split_at(own);
        let copied = |nodes: &[Node]| -> Vec<Node> {
            let all = (0..copies).flat_map(|copy| nodes.iter().map(move |node| (copy, *node)));
            let all = all.map(|(copy, node)| Node {
                parent: node.parent.map(|parent| moved(parent, copy)),
                ..node
            });
            all.collect()
        };
        Self {
            areas: self.areas.repeat(copies),
            nodes: [copied(compartments), copied(meeting)].concat(),
        }
    }
}
