//! What users see of the whole, one file per behaviour.

mod architecture;
mod auto_reply;
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
mod standing;
mod subjects;
mod submission;
mod survives_kill;
mod survives_kill_outbound;
mod unsubscribe;
mod uploads;
