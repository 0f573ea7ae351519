package cloud

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"
	gcs "google.golang.org/api/storage/v1"

	"github.com/shoal-data/shoal/datasets/storage/objects"
)

// openGCS opens a bucket of Google Cloud Storage through its JSON API, with
// application default credentials, or of the emulator that STORAGE_EMULATOR_HOST names.
func openGCS(ctx context.Context, bucket string) (objects.Bucket, error) {
	opts := []option.ClientOption{option.WithScopes(gcs.DevstorageReadWriteScope)}
	if host := os.Getenv("STORAGE_EMULATOR_HOST"); host != "" {
		if !strings.Contains(host, "://") {
			host = "http://" + host
		}
		opts = []option.ClientOption{option.WithEndpoint(strings.TrimRight(host, "/") + "/storage/v1/"), option.WithoutAuthentication()}
	}
	service, err := gcs.NewService(context.WithoutCancel(ctx), opts...)
	if err != nil {
		return nil, &objects.Fault{Kind: objects.Denied, Err: fmt.Errorf("no Google credentials could be used (GOOGLE_APPLICATION_CREDENTIALS, gcloud auth application-default login, or a service account): %w", objects.Plain(err))}
	}
	return &gcsBucket{service.Objects, bucket}, nil
}

type gcsBucket struct {
	objects *gcs.ObjectsService
	name    string
}

func (b *gcsBucket) List(ctx context.Context, prefix string, delimited bool, token string) (page []objects.Object, next string, err error) {
	call := b.objects.List(b.name).Context(ctx).Prefix(prefix).PageToken(token).Fields("nextPageToken", "prefixes", "items(name,size,updated,generation)")
	if delimited {
		call.Delimiter("/")
	}
	answer, err := call.Do()
	if err != nil {
		return nil, "", gcsFault(err)
	}
	for _, o := range answer.Items {
		page = append(page, gcsObject(o))
	}
	for _, p := range answer.Prefixes {
		page = append(page, objects.Object{Key: p})
	}
	return page, answer.NextPageToken, nil
}

func gcsObject(o *gcs.Object) objects.Object {
	at, _ := time.Parse(time.RFC3339Nano, o.Updated) // the zero time says that it is not known
	return objects.Object{Key: o.Name, Size: int64(o.Size), ModTime: at, Version: strconv.FormatInt(o.Generation, 10), Mark: o.Metadata[mark]}
}

func (b *gcsBucket) Head(ctx context.Context, key string) (objects.Object, error) {
	o, err := b.objects.Get(b.name, key).Context(ctx).Do()
	if err != nil {
		return objects.Object{}, gcsFault(err)
	}
	return gcsObject(o), nil
}

func (b *gcsBucket) Read(ctx context.Context, key, version string, off, n int64) (io.ReadCloser, string, error) {
	generation, err := strconv.ParseInt(version, 10, 64)
	if err != nil {
		return nil, "", &objects.Fault{Kind: objects.Refused, Err: fmt.Errorf("generation %q: %w", version, err)}
	}
	call := b.objects.Get(b.name, key).Context(ctx).Generation(generation)
	call.Header().Set("Range", fmt.Sprintf("bytes=%d-%d", off, off+n-1))
	answer, err := call.Download()
	if err != nil {
		return nil, "", gcsFault(err)
	}
	return answer.Body, version, nil
}

func (b *gcsBucket) Put(ctx context.Context, key string, body io.ReadSeeker, size int64, version, own string) error {
	generation := int64(0) // of an object that is not there
	if version != "" {
		var err error
		if generation, err = strconv.ParseInt(version, 10, 64); err != nil {
			return &objects.Fault{Kind: objects.Refused, Err: fmt.Errorf("generation %q: %w", version, err)}
		}
	}
	_, err := b.objects.Insert(b.name, &gcs.Object{Name: key, Metadata: map[string]string{mark: own}}).Context(ctx).
		IfGenerationMatch(generation).WithRetry(nil, func(error) bool { return false }).
		Media(body, googleapi.ChunkSize(0), googleapi.ContentType("application/octet-stream")).Do()
	return gcsFault(err)
}

func (b *gcsBucket) Delete(ctx context.Context, key string) error {
	return gcsFault(b.objects.Delete(b.name, key).Context(ctx).Do())
}

func gcsFault(err error) error {
	if err == nil {
		return nil
	}
	var answer *googleapi.Error
	if !errors.As(err, &answer) {
		if strings.Contains(err.Error(), "oauth2") || strings.Contains(err.Error(), "credentials") {
			return &objects.Fault{Kind: objects.Denied, Err: errors.New("no access token came from Google for the credentials of this process")}
		}
		return objects.Classify(0, "", objects.Plain(err))
	}
	code := ""
	if answer.Code == http.StatusNotFound && strings.Contains(answer.Message, "bucket does not exist") {
		code = "NoSuchBucket"
	}
	return objects.Classify(answer.Code, code, fmt.Errorf("the store answered %d: %s", answer.Code, answer.Message))
}
