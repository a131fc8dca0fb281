package local

import (
	"context"
	"fmt"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
)

const reviewSubscription = "dead-letters-review"

// openReview makes the subscription that holds the dead letters for `agenttrader dlq`.
func (p *platform) openReview(ctx context.Context) error {
	prefix := "projects/" + Project
	_, err := p.pubsub.Client().SubscriptionAdminClient.CreateSubscription(ctx, &pubsubpb.Subscription{
		Name: prefix + "/subscriptions/" + reviewSubscription, Topic: prefix + "/topics/" + topicDead, AckDeadlineSeconds: 60,
	})
	if err != nil {
		return fmt.Errorf("subscription %s: %w", reviewSubscription, err)
	}
	return nil
}
