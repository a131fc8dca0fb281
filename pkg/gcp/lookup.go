package gcp

import (
	"context"
	"fmt"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
)

// HasTopic looks a topic of the project up by its id. The error has the gRPC status: NotFound if there is none.
func (c *Cloud) HasTopic(ctx context.Context, id string) error {
	client, err := c.pubsub(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	name := fmt.Sprintf("projects/%s/topics/%s", c.cfg.ProjectID(), id)
	_, err = client.TopicAdminClient.GetTopic(ctx, &pubsubpb.GetTopicRequest{Topic: name})
	return err
}

// HasSubscription looks a subscription of the project up by its id. The error has the gRPC status: NotFound if there is none.
func (c *Cloud) HasSubscription(ctx context.Context, id string) error {
	client, err := c.pubsub(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	name := fmt.Sprintf("projects/%s/subscriptions/%s", c.cfg.ProjectID(), id)
	_, err = client.SubscriptionAdminClient.GetSubscription(ctx, &pubsubpb.GetSubscriptionRequest{Subscription: name})
	return err
}
