mod adex;
mod izhikevich;
mod lif;
mod qif;
