//! The Rust crate: recorded, live, and every method of its management client.
mod manage;

use std::{env, time::Duration};

use deepgram::{
    common::{audio_source::AudioSource, options::Options, stream_response::StreamResponse},
    Deepgram, DeepgramError,
};
use futures::stream::StreamExt;
use tokio::fs::File;

fn show(wire: &str, id: &str, transcript: &str) {
    println!(r#"{{"wire": "{wire}", "request_id": "{id}", "transcript": "{transcript}"}}"#);
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), DeepgramError> {
    let url = env::var("ALDEA_URL").expect("ALDEA_URL");
    let key = env::var("ALDEA_KEY").expect("ALDEA_KEY");
    let client = Deepgram::with_base_url_and_api_key(format!("{url}/").as_str(), &key)?;
    let options = Options::builder().punctuate(true).build();

    let file = File::open("sample.wav").await.expect("sample.wav");
    let source = AudioSource::from_buffer_with_mime_type(file, "audio/wav");
    let found = client.transcription().prerecorded(source, &options).await?;
    let transcript = &found.results.channels[0].alternatives[0].transcript;
    let recorded = found.metadata.request_id.to_string();
    show("recorded", &recorded, transcript);

    let mut results = client
        .transcription()
        .stream_request_with_options(options)
        .file("sample.wav", 8192, Duration::from_millis(5))
        .await?;
    let id = results.request_id().expect("an id").to_string();
    let mut words = Vec::new();
    while let Some(message) = results.next().await {
        if let StreamResponse::TranscriptResponse { is_final: true, channel, .. } = message? {
            words.push(channel.alternatives[0].transcript.clone());
        }
    }
    show("live", &id, &words.join(" "));
    manage::walk(&client, &recorded).await;
    println!(r#"{{"wire": "management"}}"#);
    Ok(())
}
