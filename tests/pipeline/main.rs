//! The pipeline on memory queues and stores: what a worker does with every kind of delivery, and that any order of
//! deliveries with any repeats ends in one state at every site.

mod contract;
mod convergence;
mod settlements;
mod tidy;
mod world;
