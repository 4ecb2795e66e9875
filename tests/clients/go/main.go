// The Go SDK: recorded and live. Its REST host has the scheme http, its live host the scheme ws.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	rest "github.com/deepgram/deepgram-go-sdk/v3/pkg/api/listen/v1/rest"
	messages "github.com/deepgram/deepgram-go-sdk/v3/pkg/api/listen/v1/websocket/interfaces"
	"github.com/deepgram/deepgram-go-sdk/v3/pkg/client/interfaces"
	"github.com/deepgram/deepgram-go-sdk/v3/pkg/client/listen"
)

type heard struct {
	words []string
	id    string
	done  chan struct{}
}

func (h *heard) Open(*messages.OpenResponse) error { return nil }
func (h *heard) Message(m *messages.MessageResponse) error {
	if m.IsFinal {
		h.words = append(h.words, m.Channel.Alternatives[0].Transcript)
	}
	return nil
}
func (h *heard) Metadata(m *messages.MetadataResponse) error {
	h.id = m.RequestID
	if m.Duration > 0 {
		close(h.done)
	}
	return nil
}
func (h *heard) SpeechStarted(*messages.SpeechStartedResponse) error { return nil }
func (h *heard) UtteranceEnd(*messages.UtteranceEndResponse) error   { return nil }
func (h *heard) Close(*messages.CloseResponse) error                 { return nil }
func (h *heard) Error(m *messages.ErrorResponse) error {
	fmt.Fprintln(os.Stderr, m.ErrCode, m.Description)
	return nil
}
func (h *heard) UnhandledEvent([]byte) error { return nil }

func show(wire, id, transcript string) {
	line, _ := json.Marshal(map[string]string{"wire": wire, "request_id": id, "transcript": transcript})
	fmt.Println(string(line))
}

func main() {
	listen.Init(listen.InitLib{LogLevel: listen.LogLevelErrorOnly})
	ctx := context.Background()
	url, key := os.Getenv("ALDEA_URL"), os.Getenv("ALDEA_KEY")

	client := rest.New(listen.NewREST(key, &interfaces.ClientOptions{Host: url}))
	found, err := client.FromFile(ctx, "sample.wav", &interfaces.PreRecordedTranscriptionOptions{Model: "nova-3", Punctuate: true})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	show("recorded", found.Metadata.RequestID, found.Results.Channels[0].Alternatives[0].Transcript)

	h := &heard{done: make(chan struct{})}
	options := &interfaces.ClientOptions{Host: strings.Replace(url, "http", "ws", 1)}
	socket, err := listen.NewWSUsingCallback(ctx, key, options, &interfaces.LiveTranscriptionOptions{Model: "nova-3"}, h)
	if err != nil || !socket.Connect() {
		fmt.Fprintln(os.Stderr, "no connection", err)
		os.Exit(1)
	}
	file, err := os.Open("sample.wav")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go func() {
		// Returns with io.EOF at the file's end.
		_ = socket.Stream(bufio.NewReader(file))
		_ = socket.WriteJSON(map[string]string{"type": "CloseStream"})
	}()
	<-h.done
	show("live", h.id, strings.Join(h.words, " "))
	if faults := walk(ctx, url, key, found.Metadata.RequestID); len(faults) > 0 {
		fmt.Fprintln(os.Stderr, strings.Join(faults, "\n"))
		os.Exit(1)
	}
}
