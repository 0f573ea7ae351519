package cloud

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/shoal-data/shoal/datasets/storage/objects"
)

// openAzure opens a container of the account that AZURE_STORAGE_ACCOUNT or
// AZURE_STORAGE_CONNECTION_STRING names, with AZURE_STORAGE_KEY,
// AZURE_STORAGE_SAS_TOKEN, or what azidentity finds: the AZURE_… variables, a workload
// or managed identity, the az tool's login. AZURE_STORAGE_BLOB_ENDPOINT is the
// account's address where it is not the public cloud's.
func openAzure(_ context.Context, name string) (objects.Bucket, error) {
	opts := &container.ClientOptions{ClientOptions: policy.ClientOptions{Retry: policy.RetryOptions{MaxRetries: -1}}} // objects.FS repeats
	client, err := azureClient(name, opts)
	if err != nil {
		return nil, &objects.Fault{Kind: objects.Denied, Err: errors.New("no Azure credentials could be used: set AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT with AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN or a login: " + withoutSecrets(err))}
	}
	return &azureBucket{client}, nil
}

func azureClient(name string, opts *container.ClientOptions) (*container.Client, error) {
	if s := os.Getenv("AZURE_STORAGE_CONNECTION_STRING"); s != "" {
		return container.NewClientFromConnectionString(s, name, opts)
	}
	account := os.Getenv("AZURE_STORAGE_ACCOUNT")
	if account == "" {
		return nil, errors.New("AZURE_STORAGE_ACCOUNT is not set")
	}
	url := strings.TrimRight(cmp.Or(os.Getenv("AZURE_STORAGE_BLOB_ENDPOINT"), "https://"+account+".blob.core.windows.net"), "/") + "/" + name
	if key := os.Getenv("AZURE_STORAGE_KEY"); key != "" {
		shared, err := container.NewSharedKeyCredential(account, key)
		if err != nil {
			return nil, errors.New("AZURE_STORAGE_KEY is not a key")
		}
		return container.NewClientWithSharedKeyCredential(url, shared, opts)
	}
	if token := os.Getenv("AZURE_STORAGE_SAS_TOKEN"); token != "" {
		return container.NewClientWithNoCredential(url+"?"+strings.TrimPrefix(token, "?"), opts)
	}
	login, err := azidentity.NewDefaultAzureCredential(nil)
	if err != nil {
		return nil, err
	}
	return container.NewClient(url, login, opts)
}

// withoutSecrets is what an error says, unless it repeats a credential.
func withoutSecrets(err error) string {
	text := objects.Plain(err).Error()
	for _, name := range []string{"AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_KEY", "AZURE_STORAGE_SAS_TOKEN", "AZURE_CLIENT_SECRET"} {
		if secret := os.Getenv(name); secret != "" {
			text = strings.ReplaceAll(text, secret, name)
		}
	}
	return text
}

type azureBucket struct{ client *container.Client }

func (b *azureBucket) List(ctx context.Context, prefix string, delimited bool, token string) (page []objects.Object, next string, err error) {
	var marker *string
	if token != "" {
		marker = &token
	}
	blobs := func(items []*container.BlobItem) {
		for _, o := range items {
			v := objects.Object{Key: deref(o.Name)}
			if p := o.Properties; p != nil {
				v.Size, v.ModTime, v.Version = deref(p.ContentLength), deref(p.LastModified), string(deref(p.ETag))
			}
			page = append(page, v)
		}
	}
	if !delimited {
		answer, err := b.client.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{Prefix: &prefix, Marker: marker}).NextPage(ctx)
		if err != nil {
			return nil, "", azureFault(err)
		}
		blobs(answer.Segment.BlobItems)
		return page, deref(answer.NextMarker), nil
	}
	answer, err := b.client.NewListBlobsHierarchyPager("/", &container.ListBlobsHierarchyOptions{Prefix: &prefix, Marker: marker}).NextPage(ctx)
	if err != nil {
		return nil, "", azureFault(err)
	}
	blobs(answer.Segment.BlobItems)
	for _, p := range answer.Segment.BlobPrefixes {
		page = append(page, objects.Object{Key: deref(p.Name)})
	}
	return page, deref(answer.NextMarker), nil
}

func (b *azureBucket) Head(ctx context.Context, key string) (objects.Object, error) {
	o, err := b.client.NewBlobClient(key).GetProperties(ctx, nil)
	if err != nil {
		return objects.Object{}, azureFault(err)
	}
	v := objects.Object{Key: key, Size: deref(o.ContentLength), ModTime: deref(o.LastModified), Version: string(deref(o.ETag))}
	for name, value := range o.Metadata { // header names come back in another case
		if strings.EqualFold(name, mark) {
			v.Mark = deref(value)
		}
	}
	return v, nil
}

func (b *azureBucket) Read(ctx context.Context, key, version string, off, n int64) (io.ReadCloser, string, error) {
	o, err := b.client.NewBlobClient(key).DownloadStream(ctx, &blob.DownloadStreamOptions{
		Range: blob.HTTPRange{Offset: off, Count: n}, AccessConditions: ifMatch(version),
	})
	if err != nil {
		return nil, "", azureFault(err)
	}
	return o.Body, string(deref(o.ETag)), nil
}

func ifMatch(version string) *blob.AccessConditions {
	tag := azcore.ETag(version)
	return &blob.AccessConditions{ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfMatch: &tag}}
}

func (b *azureBucket) Put(ctx context.Context, key string, body io.ReadSeeker, size int64, version, own string) error {
	if size > blockblob.MaxUploadBlobBytes {
		return &objects.Fault{Kind: objects.Refused, Err: fmt.Errorf("%d bytes are more than Azure takes in one request; make publish.file_size smaller", size)}
	}
	condition := ifMatch(version)
	if version == "" {
		any := azcore.ETagAny
		condition = &blob.AccessConditions{ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfNoneMatch: &any}}
	}
	_, err := b.client.NewBlockBlobClient(key).Upload(ctx, streaming.NopCloser(body), &blockblob.UploadOptions{
		AccessConditions: condition, Metadata: map[string]*string{mark: &own},
	})
	return azureFault(err)
}

func (b *azureBucket) Delete(ctx context.Context, key string) error {
	_, err := b.client.NewBlobClient(key).Delete(ctx, nil)
	return azureFault(err)
}

// azureFault keeps what Azure said of the fault, and nothing of the request, whose
// address may be signed.
func azureFault(err error) error {
	if err == nil {
		return nil
	}
	var answer *azcore.ResponseError
	if errors.As(err, &answer) {
		code := answer.ErrorCode
		if code == "" && answer.StatusCode == http.StatusConflict {
			code = "OperationAborted"
		}
		return objects.Classify(answer.StatusCode, code, fmt.Errorf("the store answered %d %s", answer.StatusCode, code))
	}
	var login *azidentity.AuthenticationFailedError
	if errors.As(err, &login) || strings.Contains(err.Error(), "DefaultAzureCredential") {
		return &objects.Fault{Kind: objects.Denied, Err: errors.New("no access token came from Azure: log in, or set AZURE_STORAGE_KEY or the AZURE_… variables of a service principal")}
	}
	return objects.Classify(0, "", errors.New(withoutSecrets(err)))
}

func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
