//! Swift's S3 door, through the S3 client: a second, weaker dialect.

use std::sync::Arc;

use vpool_object::ObjectStore;
use vpool_object::conformance::{self, ConformanceOptions};
use vpool_s3::{S3Config, S3Store};
use vpool_test_stores::Swift;

#[tokio::test]
async fn conformance_through_the_s3_client() {
    let Some(swift) = Swift::shared() else {
        return;
    };
    swift.create_container("s3-door").unwrap();
    let url = format!("{}/s3-door/some/prefix", swift.endpoint());
    let config = S3Config::from_url(&url, swift.s3_credentials_file()).unwrap();
    let store: Arc<dyn ObjectStore> = Arc::new(S3Store::connect(config).unwrap());
    let options = ConformanceOptions {
        big_body_bytes: Some(16 << 20),
        ..ConformanceOptions::default()
    };
    let report = conformance::check(&store, &options).await.unwrap();
    assert!(report.skipped.is_empty(), "{report:?}");
}
