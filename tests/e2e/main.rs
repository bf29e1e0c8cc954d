//! What users see of the whole, one file per behaviour.

mod architecture;
mod bounces;
mod configs;
mod corpora;
mod deliveries;
mod dev;
mod isolation;
mod nats_send;
mod openapi;
mod operator;
mod pipeline_in;
mod pipeline_out;
mod sdk;
mod signatures;
mod smtp_source;
mod subjects;
mod submission;
mod survives_kill;
mod survives_kill_outbound;
