module aldea.ai/clients

go 1.22

require github.com/deepgram/deepgram-go-sdk/v3 v3.5.0
