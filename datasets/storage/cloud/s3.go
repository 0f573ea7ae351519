package cloud

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"

	"github.com/shoal-data/shoal/datasets/storage/objects"
)

// mark is the metadata by which a writer knows its own object.
const mark = "shoalmark"

// openS3 opens a bucket of S3, or of the endpoint that AWS_ENDPOINT_URL_S3 or
// AWS_ENDPOINT_URL names: such stores have their buckets in the path.
func openS3(ctx context.Context, bucket string) (objects.Bucket, error) {
	elsewhere := cmp.Or(os.Getenv("AWS_ENDPOINT_URL_S3"), os.Getenv("AWS_ENDPOINT_URL")) != ""
	cfg, err := config.LoadDefaultConfig(ctx,
		config.WithDefaultRegion("us-east-1"),
		config.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} }), // objects.FS repeats
		config.WithLogger(logging.Nop{}),
	)
	if err != nil {
		return nil, &objects.Fault{Kind: objects.Denied, Err: fmt.Errorf("the AWS configuration: %w", objects.Plain(err))}
	}
	client := s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.UsePathStyle = elsewhere
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired // parts of objects have none
		if elsewhere && os.Getenv("AWS_REQUEST_CHECKSUM_CALCULATION") == "" {
			// Not all of them know the newer checksums. The body is signed in any case.
			o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		}
	})
	return &s3Bucket{client, bucket}, nil
}

type s3Bucket struct {
	client *s3.Client
	name   string
}

func (b *s3Bucket) List(ctx context.Context, prefix string, delimited bool, token string) (page []objects.Object, next string, err error) {
	in := &s3.ListObjectsV2Input{Bucket: &b.name, Prefix: &prefix}
	if delimited {
		in.Delimiter = aws.String("/")
	}
	if token != "" {
		in.ContinuationToken = &token
	}
	answer, err := b.client.ListObjectsV2(ctx, in)
	if err != nil {
		return nil, "", s3Fault(err)
	}
	for _, o := range answer.Contents {
		page = append(page, objects.Object{Key: aws.ToString(o.Key), Size: aws.ToInt64(o.Size), ModTime: aws.ToTime(o.LastModified), Version: aws.ToString(o.ETag)})
	}
	for _, p := range answer.CommonPrefixes {
		page = append(page, objects.Object{Key: aws.ToString(p.Prefix)})
	}
	return page, aws.ToString(answer.NextContinuationToken), nil
}

func (b *s3Bucket) Head(ctx context.Context, key string) (objects.Object, error) {
	o, err := b.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &b.name, Key: &key})
	if err != nil {
		return objects.Object{}, s3Fault(err)
	}
	return objects.Object{Key: key, Size: aws.ToInt64(o.ContentLength), ModTime: aws.ToTime(o.LastModified), Version: aws.ToString(o.ETag), Mark: o.Metadata[mark]}, nil
}

func (b *s3Bucket) Read(ctx context.Context, key, version string, off, n int64) (io.ReadCloser, string, error) {
	o, err := b.client.GetObject(ctx, &s3.GetObjectInput{
		Bucket: &b.name, Key: &key, Range: aws.String(fmt.Sprintf("bytes=%d-%d", off, off+n-1)), IfMatch: &version,
	})
	if err != nil {
		return nil, "", s3Fault(err)
	}
	return o.Body, aws.ToString(o.ETag), nil
}

func (b *s3Bucket) Put(ctx context.Context, key string, body io.ReadSeeker, size int64, version, own string) error {
	in := &s3.PutObjectInput{Bucket: &b.name, Key: &key, Body: body, ContentLength: &size, Metadata: map[string]string{mark: own}}
	if version == "" {
		in.IfNoneMatch = aws.String("*")
	} else {
		in.IfMatch = &version
	}
	_, err := b.client.PutObject(ctx, in)
	return s3Fault(err)
}

func (b *s3Bucket) Delete(ctx context.Context, key string) error {
	_, err := b.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &b.name, Key: &key})
	return s3Fault(err)
}

// s3Fault keeps what S3 said of the fault, and nothing of the request.
func s3Fault(err error) error {
	if err == nil {
		return nil
	}
	status, code := 0, ""
	said := objects.Plain(err)
	var answer *awshttp.ResponseError
	if errors.As(err, &answer) {
		status = answer.HTTPStatusCode()
		said = fmt.Errorf("the store answered %d", status)
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		code = api.ErrorCode()
		said = fmt.Errorf("the store answered %d %s: %s", status, code, api.ErrorMessage())
	}
	if status == 0 && strings.Contains(err.Error(), "get credentials") {
		return &objects.Fault{Kind: objects.Denied, Err: errors.New("no AWS credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run where a role is given")}
	}
	return objects.Classify(status, code, said)
}
