package browser

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"strings"
)

const (
	// minText is how many characters a page must show. NetBox's log-in page, which
	// has the least text, has several times that.
	minText = 20
	// maxUniform is the maximum share of a picture that may have one colour. A form
	// on an otherwise empty page covers more than the remaining 1 %.
	maxUniform = 0.99
)

// Check returns an error if the page is an error page, blank or incomplete. wants
// lists texts that the page must show.
func (p Page) Check(wants ...string) error {
	if p.Status != 200 {
		return fmt.Errorf("it is an error page: status %d, title %q", p.Status, p.Title)
	}
	if strings.TrimSpace(p.Title) == "" {
		return fmt.Errorf("it has no title")
	}
	if letters := len(strings.Join(strings.Fields(p.Text), "")); letters < minText {
		return fmt.Errorf("it is blank: it shows %d characters", letters)
	}
	for _, want := range wants {
		// Style sheets may show a text in capitals.
		if !strings.Contains(strings.ToLower(p.Title+"\n"+p.Text), strings.ToLower(want)) {
			return fmt.Errorf("it does not show %q; its title is %q", want, p.Title)
		}
	}
	if len(p.Failed) > 0 {
		return fmt.Errorf("%d of its files did not load: %s", len(p.Failed), p.Failed[0])
	}
	picture, err := png.Decode(bytes.NewReader(p.Picture))
	if err != nil {
		return fmt.Errorf("its picture cannot be read: %w", err)
	}
	if share := uniformity(picture); share > maxUniform {
		return fmt.Errorf("it is blank: %.1f %% of its picture has one colour", share*100)
	}
	return nil
}

// uniformity returns the share of pixels that have the picture's most frequent
// colour.
func uniformity(picture image.Image) float64 {
	count := map[[3]uint32]int{}
	most := 0
	b := picture.Bounds()
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			red, green, blue, _ := picture.At(x, y).RGBA()
			key := [3]uint32{red >> 12, green >> 12, blue >> 12} // ignore slight shades
			count[key]++
			most = max(most, count[key])
		}
	}
	return float64(most) / float64(max(1, b.Dx()*b.Dy()))
}
